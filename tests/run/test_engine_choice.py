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
from adasise_bench.models.backends.torch_compile import TorchCompileGraphs
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
    speeds = {"torch": 1.0, "openvino": 1.0, "torch-compile": 0.4, "torch-compile-graphs": 0.5}

    def seconds(classifier: Classifier, _image: torch.Tensor, _least: float) -> list[float]:
        tried.append(classifier.engine)
        backend = classifier.backend
        assert backend is None or not backend(torch.zeros(2, 3, 40, 40), "fp32").isnan().any()
        return [speeds[classifier.engine.backend] * classifier.engine.batch_size]

    monkeypatch.setattr(tuning, "batch_seconds", seconds)
    monkeypatch.setattr(torch, "compile", lambda module, **_settings: module)
    return tried


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the choice of what to try be that of a GPU; everything still runs on the CPU."""
    choose = tuning.backends_to_try
    cuda = torch.device("cuda")
    monkeypatch.setattr(
        network,
        "backends_to_try",
        lambda wanted, _device, precision, work: choose(wanted, cuda, precision, work),
    )
    monkeypatch.setattr(TorchCompileGraphs, "refusal", lambda _device, _precision: "")


def broken(_module: nn.Module, **_settings: Any) -> Any:
    def fail(_inputs: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no working C++ compiler")

    return fail


@pytest.mark.usefixtures("on_gpu")
def test_a_long_run_is_compiled_where_it_is_faster(tiny: Classifier, measured: list[Engine]) -> None:
    config = scenes("rise")
    classifier = replace(tiny, maps=(6, 8, 10))
    assert network.with_engine(config, classifier, pictures=LONG).engine.backend == "torch-compile"
    assert {engine.backend for engine in measured} == {"torch", "torch-compile", "torch-compile-graphs"}
    for pictures in (LONG - 1, 1, None):
        measured.clear()
        assert network.with_engine(config, classifier, pictures=pictures).engine.backend == "torch"
        assert not any(engine.compiles for engine in measured)


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


@pytest.mark.parametrize("setting", [{}, {"backend": "torch-compile"}, {"compile": True}])
@pytest.mark.usefixtures("on_gpu")
def test_an_earlier_engine_stays(tiny: Classifier, measured: list[Engine], setting: Any) -> None:
    earlier = Engine("contiguous", 5, "torch-compile-graphs")
    config = scenes("rise", engine=setting)
    found = network.with_engine(config, replace(tiny, maps=(6, 8, 10)), earlier, LONG)
    assert found.engine == earlier
    assert not measured


def test_the_configuration_is_stronger_than_an_earlier_engine(
    tiny: Classifier, measured: list[Engine]
) -> None:
    off, on = (scenes(engine={"backend": backend}) for backend in ("torch", "torch-compile"))
    compiled_before = network.with_engine(off, tiny, Engine("contiguous", 5, "torch-compile"))
    assert (compiled_before.engine, compiled_before.backend) == (Engine("contiguous", 5), None)
    plain_before = network.with_engine(on, tiny, Engine("contiguous", 5))
    assert plain_before.engine == Engine("contiguous", 5, "torch-compile")
    assert plain_before.backend is not None


def test_the_cpu_compiles_only_when_told(tiny: Classifier, measured: list[Engine]) -> None:
    classifier = replace(tiny, maps=(6, 8, 10))
    assert network.with_engine(scenes("rise"), classifier, pictures=10 * LONG).engine.compiles is False
    assert not any(engine.compiles for engine in measured)


@pytest.mark.parametrize(("broken_compiler", "expected"), [(False, "torch-compile"), (True, "torch")])
def test_the_run_folder_says_how_the_network_was_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    broken_compiler: bool,
    expected: str,
) -> None:
    settings = {"layout": "contiguous", "batch_size": 16, "backend": "torch-compile"}
    monkeypatch.setattr(torch, "compile", broken if broken_compiler else lambda module, **_settings: module)
    run(scenes(engine=settings), tmp_path / "out")
    assert read_records(tmp_path / "out")["error"].isna().all()
    facts = json.loads((tmp_path / "out/environment.json").read_text())
    assert facts["models"]["scenes_vgg"]["engine"] == settings | {"backend": expected}
    said = capsys.readouterr().err
    line = "models.scenes_vgg: torch-compile cannot run it: RuntimeError: no working C++ compiler; torch does"
    assert said.count(line) == said.count("torch-compile") == broken_compiler


@pytest.mark.parametrize("before", [True, "default"])
def test_a_run_from_before_there_were_backends_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: object
) -> None:
    settings = {"layout": "contiguous", "batch_size": 16, "compile": True}
    monkeypatch.setattr(torch, "compile", lambda module, **_settings: module)
    run(scenes(engine=settings), tmp_path / "out")
    environment = tmp_path / "out/environment.json"
    facts = json.loads(environment.read_text())
    engine = facts["models"]["scenes_vgg"]["engine"]
    del engine["backend"], facts["models"]["scenes_vgg"]["backend_version"]
    engine["compile"] = before
    environment.write_text(json.dumps(facts))
    (tmp_path / "out/manifest.json").unlink()
    assert run(scenes(engine=settings, limit=2), tmp_path / "out").computed > 0
    again = json.loads(environment.read_text())["models"]["scenes_vgg"]["engine"]
    assert again == {"layout": "contiguous", "batch_size": 16, "backend": "torch-compile"}


def test_a_workload_knows_methods_and_measures(tiny: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Workload] = []

    def tune(*_arguments: object, workload: Workload, **_settings: object) -> Engine:
        seen.append(workload)
        return Engine("contiguous", 4)

    monkeypatch.setattr(network, "tune", tune)
    config = scenes("rise", "grad_cam", measures=["insertion", "head_sensitivity"])
    network.with_engine(config, replace(tiny, maps=(6, 8, 10)), pictures=7)
    masks, steps = range(8000, 8001), range(65, 66)
    assert seen == [Workload((masks, steps, masks, steps), 7)]


def test_the_setting_names_a_backend() -> None:
    assert scenes().engine.backend == "auto"
    for name in ("auto", "torch", "openvino", "torch-compile"):
        assert scenes(engine={"backend": name}).engine.backend == name
    with pytest.raises(ConfigError, match=r"engine\.backend"):
        scenes(engine={"backend": "torch-compile-graphs"})
    assert scenes(deterministic=True).engine.backend == "auto"


def test_the_older_key_stays_readable() -> None:
    for value, expected in (("auto", "auto"), (True, "torch-compile"), (False, "torch")):
        assert scenes(engine={"compile": value}).engine.backend == expected
    for engine in ({"compile": "always"}, {"compile": 1}, {"compile": True, "backend": "torch-compile"}):
        with pytest.raises(ConfigError, match=r"engine\.compile"):
            scenes(engine=engine)


def test_a_deterministic_run_never_compiles(tiny: Classifier, measured: list[Engine]) -> None:
    found = network.with_engine(scenes("rise", deterministic=True), replace(tiny, maps=(6, 8)), pictures=LONG)
    assert found.engine.backend == "torch"
    assert not measured
