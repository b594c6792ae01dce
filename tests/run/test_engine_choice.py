"""What a run keeps of how its networks are run, what it measures anew, and what it writes down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from adasise_bench.models import tuning
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.tuning import LONG_RUN
from adasise_bench.models.workload import Workload
from adasise_bench.records.reading import read_records
from adasise_bench.run import network
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import ConfigError

LONG = LONG_RUN // 8000


def scenes(*methods: Any, **changes: Any) -> RunConfig:
    tree = {
        "data": {"root": "embedded", "input_size": 64},
        "models": {"scenes_vgg": {}},
        "methods": list(methods or ["sise"]),
        "limit": 1,
    }
    return validate(tree | changes, "test")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Plants speeds: compiled in either mode is faster, most in the default; lists what was measured."""
    tried: list[Engine] = []
    speeds = {False: 1.0, "default": 0.4, "reduce-overhead": 0.5}

    def seconds(classifier: Classifier, _image: torch.Tensor, _least: float) -> list[float]:
        tried.append(classifier.engine)
        assert classifier.compiled is None or not classifier.compiled(torch.zeros(2, 3, 40, 40)).isnan().any()
        return [speeds[classifier.engine.compile] * classifier.engine.batch_size]

    monkeypatch.setattr(tuning, "batch_seconds", seconds)
    monkeypatch.setattr(torch, "compile", lambda module, **_settings: module)
    return tried


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the choice of what to try be that of a GPU; everything still runs on the CPU."""
    choose = tuning.modes_to_try
    monkeypatch.setattr(
        network, "modes_to_try", lambda wanted, _device, work: choose(wanted, torch.device("cuda"), work)
    )


def broken(_module: nn.Module, **_settings: Any) -> Any:
    def fail(_inputs: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no working C++ compiler")

    return fail


@pytest.mark.usefixtures("on_gpu")
def test_a_long_run_is_compiled_where_it_is_faster(tiny: Classifier, measured: list[Engine]) -> None:
    config = scenes("rise")
    classifier = replace(tiny, maps=(6, 8, 10))
    assert network.with_engine(config, classifier, pictures=LONG).engine.compile == "default"
    assert {engine.compile for engine in measured} == {False, "default", "reduce-overhead"}
    for pictures in (LONG - 1, 1, None):
        measured.clear()
        assert network.with_engine(config, classifier, pictures=pictures).engine.compile is False
        assert not any(engine.compile for engine in measured)


@pytest.mark.usefixtures("on_gpu")
def test_what_was_found_is_remembered_for_runs_that_score_as_much(
    tiny: Classifier, measured: list[Engine]
) -> None:
    classifier = replace(tiny, maps=(6, 8, 10))
    first = network.with_engine(scenes("rise"), classifier, pictures=LONG).engine
    measured.clear()
    assert network.with_engine(scenes("rise"), classifier, pictures=2 * LONG).engine == first
    assert not measured
    network.with_engine(scenes("rise", "sise"), classifier, pictures=LONG)
    assert measured


@pytest.mark.parametrize("compile", ["auto", True])
@pytest.mark.usefixtures("on_gpu")
def test_an_earlier_engine_stays(tiny: Classifier, measured: list[Engine], compile: Any) -> None:
    earlier = Engine("contiguous", 5, "reduce-overhead")
    config = scenes("rise", engine={"compile": compile})
    found = network.with_engine(config, replace(tiny, maps=(6, 8, 10)), earlier, LONG)
    assert found.engine == earlier
    assert not measured


def test_the_configuration_is_stronger_than_an_earlier_engine(
    tiny: Classifier, measured: list[Engine]
) -> None:
    off, on = (scenes(engine={"compile": compile}) for compile in (False, True))
    compiled_before = network.with_engine(off, tiny, Engine("contiguous", 5, "default"))
    assert (compiled_before.engine, compiled_before.compiled) == (Engine("contiguous", 5), None)
    plain_before = network.with_engine(on, tiny, Engine("contiguous", 5))
    assert plain_before.engine == Engine("contiguous", 5, "default")
    assert plain_before.compiled is not None


def test_the_cpu_compiles_only_when_told(tiny: Classifier, measured: list[Engine]) -> None:
    classifier = replace(tiny, maps=(6, 8, 10))
    assert network.with_engine(scenes("rise"), classifier, pictures=10 * LONG).engine.compile is False
    assert not any(engine.compile for engine in measured)


@pytest.mark.parametrize(("broken_compiler", "expected"), [(False, "default"), (True, False)])
def test_the_run_folder_says_how_the_network_was_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken_compiler: bool,
    expected: object,
) -> None:
    settings = {"layout": "contiguous", "batch_size": 16, "compile": True}
    monkeypatch.setattr(torch, "compile", broken if broken_compiler else lambda module, **_settings: module)
    run(scenes(engine=settings), tmp_path / "out")
    assert read_records(tmp_path / "out")["error"].isna().all()
    facts = json.loads((tmp_path / "out/environment.json").read_text())
    assert facts["models"]["scenes_vgg"]["engine"] == settings | {"compile": expected}
    said = capsys.readouterr().err
    assert ("torch.compile failed (RuntimeError: no working C++ compiler)" in said) == broken_compiler
    assert said.count("torch.compile failed") == broken_compiler


def test_a_run_from_before_the_modes_had_names_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"layout": "contiguous", "batch_size": 16, "compile": True}
    monkeypatch.setattr(torch, "compile", lambda module, **_settings: module)
    run(scenes(engine=settings), tmp_path / "out")
    environment = tmp_path / "out/environment.json"
    facts = json.loads(environment.read_text())
    facts["models"]["scenes_vgg"]["engine"]["compile"] = True
    environment.write_text(json.dumps(facts))
    (tmp_path / "out/manifest.json").unlink()
    assert run(scenes(engine=settings, limit=2), tmp_path / "out").computed > 0
    again = json.loads(environment.read_text())["models"]["scenes_vgg"]["engine"]
    assert again == settings | {"compile": "default"}


def test_a_workload_knows_methods_and_measures(tiny: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Workload] = []

    def tune(*_arguments: object, workload: Workload, **_settings: object) -> Engine:
        seen.append(workload)
        return Engine("contiguous", 4)

    monkeypatch.setattr(network, "tune", tune)
    config = scenes("rise", "grad_cam", measures=["insertion", "head_sensitivity"])
    network.with_engine(config, replace(tiny, maps=(6, 8, 10)), pictures=7)
    network.with_engine(config, replace(tiny, name="vgg16", maps=(6, 8, 10)), pictures=7)
    steps = range(65, 66)
    eight, four = range(8000, 8001), range(4000, 4001)
    assert seen == [Workload((masks, steps, masks, steps), 7) for masks in (eight, four)]


def test_the_setting_has_three_values() -> None:
    assert scenes().engine.compile == "auto"
    assert scenes(engine={"compile": True}).engine.compile is True
    assert scenes(engine={"compile": False}).engine.compile is False
    with pytest.raises(ConfigError, match=r"engine\.compile"):
        scenes(engine={"compile": "always"})
    assert scenes(deterministic=True).engine.compile == "auto"


def test_a_deterministic_run_never_compiles(tiny: Classifier, measured: list[Engine]) -> None:
    found = network.with_engine(scenes("rise", deterministic=True), replace(tiny, maps=(6, 8)), pictures=LONG)
    assert found.engine.compile is False
    assert not measured
