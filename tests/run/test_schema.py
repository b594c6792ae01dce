"""The JSON schema takes what the tool takes, and marks what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from adasise_bench.methods.registry import METHODS
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import load_config, validate
from adasise_bench.run.schema import config_schema
from adasise_bench.run.shipped_configs import shipped_configs
from adasise_bench.utils.errors import ConfigError

jsonschema = pytest.importorskip("jsonschema")

CONFIGS = shipped_configs()
PLAIN: dict[str, Any] = {"models": {"resnet50": {}}, "methods": ["sise"]}


def fits(tree: Any) -> bool:
    checker = jsonschema.Draft202012Validator(config_schema())
    return bool(checker.is_valid(tree))


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(config_schema())


@pytest.mark.parametrize("name", CONFIGS)
def test_every_shipped_configuration_fits(name: str) -> None:
    assert fits(yaml.safe_load(CONFIGS[name].read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_run_folder_keeps_fits(name: str) -> None:
    assert fits(load_config(Path(name)).model_dump(mode="json"))


@pytest.mark.parametrize(
    "tree",
    [
        {"methods": ["module:saliency", {"name": "module:other", "options": {"steps": 3}}]},
        {"methods": [{"name": "sise", "label": "mine", "mu": 0.3}]},
        {"models": {"mine": {"source": "timm", "arch": "resnet18", "mean": [0, 0, 0], "blocks": "auto"}}},
        {"rules": "authors-code"},
        {"rules": {"set": "authors-code", "otsu": "plain"}},
        {"measures": ["insertion"]},
        {"data": {"year": 2007, "sample": 5}, "engine": {"compile": True}},
    ],
    ids=str,
)
def test_what_the_tool_takes_fits(tree: dict[str, Any]) -> None:
    RunConfig.model_validate(PLAIN | tree)
    assert fits(PLAIN | tree)


@pytest.mark.parametrize(
    "tree",
    [
        {"precisoin": "fp32"},
        {"data": {"rot": "x"}},
        {"data": {"input_size": 31}},
        {"models": {}},
        {"models": {"resnet50": {"checkpont": "x"}}},
        {"models": {"mine": {}}},
        {"models": {"mine": {"source": "timm", "std": [1, 1]}}},
        {"methods": []},
        {"methods": ["grad_camm"]},
        {"methods": [{"name": "sise", "selektor": "otsu"}]},
        {"methods": [{"name": "sise", "iterations": 4}]},
        {"methods": [{"mu": 0.3}]},
        {"extra_metrics": ["insertions"]},
        {"device": "gpu"},
        {"limit": 0},
        {"engine": {"backend": "fast"}},
    ],
    ids=str,
)
def test_what_the_tool_refuses_does_not_fit(tree: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        validate(PLAIN | tree, "test")
    assert not fits(PLAIN | tree)


def test_models_and_methods_are_needed() -> None:
    assert fits(PLAIN)
    for key in PLAIN:
        assert not fits({other: value for other, value in PLAIN.items() if other != key})


@pytest.mark.parametrize("name", METHODS)
def test_every_option_of_every_method_is_known(name: str) -> None:
    options = METHODS[name].load()(name=name).model_dump(mode="json")
    assert fits(PLAIN | {"methods": [options]})
    assert not fits(PLAIN | {"methods": [options | {"nonsense": 1}]})
