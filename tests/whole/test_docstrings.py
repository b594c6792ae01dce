"""The examples in docstrings give what they say, and every public metric and method has one with a number."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import adasise_bench
from adasise_bench.methods.registry import METHODS
from adasise_bench.metrics.registry import COMPUTED, METRICS

PACKAGE = Path(adasise_bench.__file__).parent
ROOMS = ("data", "models", "methods", "metrics")
METRIC_MODULES = (
    "localisation", "faithfulness", "randomisation", "pixels", "road", "adcc", "sparseness", "complexity",
)  # fmt: skip


def modules_with_examples() -> list[str]:
    """Their names, found without importing any of them."""
    paths = [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]
    paths.append(PACKAGE / "api.py")
    shown = [path for path in paths if ">>> " in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in shown]


def wanted(documented: object) -> str:
    """What a docstring's examples say that they print."""
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(documented) or "")
    return "".join(example.want for example in examples)


def public_functions(module: str) -> dict[str, Callable[..., Any]]:
    members = vars(import_module(f"adasise_bench.metrics.{module}")).items()
    return {
        name: member
        for name, member in members
        if inspect.isfunction(member)
        and member.__module__.endswith(f".{module}")
        and not name.startswith("_")
    }


@pytest.mark.parametrize("module", modules_with_examples())
def test_examples_print_what_they_say(module: str) -> None:
    runner, report = doctest.DocTestRunner(verbose=False), list[str]()
    for test in doctest.DocTestFinder().find(import_module(module)):
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).attempted
    assert not report, "".join(report)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_its_source_and_shows_a_number(name: str) -> None:
    method = METHODS[name].load()
    text = method.__doc__ or ""
    assert re.search(r"\d", wanted(method))
    assert "Map: (H, W) float32" in text
    assert METHODS[name].control or "Source: " in text


@pytest.mark.parametrize("name", COMPUTED)
def test_every_metric_says_its_source_and_shows_a_number(name: str) -> None:
    function = METRICS[name].load()
    assert re.search(r"\d", wanted(function))
    assert "Source: " in (function.__doc__ or "")


@pytest.mark.parametrize("module", METRIC_MODULES)
def test_every_function_of_a_metric_describes_its_parameters_and_has_an_example(module: str) -> None:
    functions = public_functions(module)
    assert functions
    for name, function in functions.items():
        assert wanted(function), name
        for parameter in inspect.signature(function).parameters:
            assert f" {parameter}: " in (function.__doc__ or ""), f"{name}: {parameter}"
