"""What a run keeps of how its networks are run, what it measures anew, and what it writes down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from adasise_bench.methods.extremal_perturbation.extremal_perturbation import OBJECTIVES
from adasise_bench.models import tuning
from adasise_bench.models.backends.base import Forward
from adasise_bench.models.backends.openvino import OpenVino
from adasise_bench.models.backends.torch import Torch
from adasise_bench.models.backends.torch_compile import TorchCompileGraphs
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import ENGINES, Engine
from adasise_bench.models.tuning import LONG_RUN
from adasise_bench.models.workload import GradientPasses, Workload
from adasise_bench.records.reading import read_records
from adasise_bench.regression.baseline import refuse_incomparable
from adasise_bench.regression.baseline_file import open_baseline
from adasise_bench.run import network
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import ConfigError, OutputError

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
    network.with_engine(config, replace(tiny, name="vgg16", maps=(6, 8, 10)), pictures=7)
    steps = range(65, 66)
    eight, four = range(8000, 8001), range(4000, 4001)
    assert seen == [Workload((masks, steps, masks, steps), 7) for masks in (eight, four)]


def test_a_workload_knows_passes_with_gradients(tiny: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Workload] = []
    known: list[int | None] = []

    def tune(*_arguments: object, workload: Workload, batch_size: int | None, **_settings: object) -> Engine:
        seen.append(workload)
        known.append(batch_size)
        return Engine("contiguous", 4)

    monkeypatch.setattr(network, "tune", tune)
    for iterations in (6, 7, 6):
        config = scenes({"name": "extremal_perturbation", "iterations": iterations}, "grad_cam")
        network.with_engine(config, replace(tiny, maps=(6, 8, 10)), pictures=7)
    six, seven = (GradientPasses(inputs, 4, OBJECTIVES["simple"]) for inputs in (20, 24))
    assert seen == [Workload((), 7, (passes,)) for passes in (six, seven, six)]
    assert known == [None, None, 4]


@pytest.mark.parametrize("broken_gradient", [False, True])
def test_a_run_says_what_computed_its_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken_gradient: bool
) -> None:
    """They are prepared before the first explanation, and in no other way for it."""
    pytest.importorskip("openvino")
    prepared, prepare = [], OpenVino.prepare_gradient

    def noted(self: OpenVino, *given: Any) -> Any:
        prepared.append((tmp_path / "out/environment.json").exists())
        if broken_gradient:
            raise ValueError("an operation is unknown")
        return prepare(self, *given)

    monkeypatch.setattr(OpenVino, "prepare_gradient", noted)
    settings = {"layout": "contiguous", "batch_size": 8, "backend": "openvino"}
    perturbation = {"name": "extremal_perturbation", "iterations": 3}
    run(scenes(perturbation, "centre", engine=settings), tmp_path / "out")
    assert read_records(tmp_path / "out")["error"].isna().all()
    assert prepared == [False]
    found = facts_of(tmp_path / "out")["models"]["scenes_vgg"]
    assert found["gradients_by"] == ("torch" if broken_gradient else "openvino")
    assert found["engine"]["backend"] == "openvino"
    line = "openvino cannot compute its gradients: ValueError: an operation is unknown; torch does instead"
    assert capsys.readouterr().err.count(line) == broken_gradient


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


@pytest.fixture
def by_openvino(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """OpenVINO of version 1, which is torch in disguise; lists the precisions that it was prepared in."""
    prepared: list[str] = []

    def prepare(self: OpenVino, _inputs: torch.Tensor, precision: Any) -> Forward:
        prepared.append(precision)
        return Torch(self._module, self._device).in_precision(precision)

    monkeypatch.setattr(OpenVino, "version", lambda: "1.0")
    monkeypatch.setattr(OpenVino, "prepare", prepare)
    return prepared


def facts_of(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "environment.json").read_text())
    return facts


def test_a_run_says_which_backend_of_which_version_scored(tmp_path: Path, by_openvino: list[str]) -> None:
    run(scenes(engine={"backend": "openvino"}), tmp_path / "out")
    network_facts = facts_of(tmp_path / "out")["models"]["scenes_vgg"]
    assert network_facts["engine"]["backend"] == "openvino"
    assert network_facts["backend_version"] == "1.0"
    assert by_openvino
    made = open_baseline(tmp_path / "out")
    assert made.made_by["backends"] == {"openvino": "1.0"}
    run(scenes(engine={"backend": "torch"}), tmp_path / "torch")
    assert facts_of(tmp_path / "torch")["models"]["scenes_vgg"]["backend_version"] == torch.__version__
    other = open_baseline(tmp_path / "torch")
    assert other.made_by["backends"] == {}
    refuse_incomparable(made, other)
    refuse_incomparable(other, made)


@pytest.mark.usefixtures("by_openvino")
def test_a_resumed_run_keeps_its_backend_though_another_would_be_found_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(scenes(engine={"backend": "openvino"}), tmp_path / "out")
    monkeypatch.setattr(tuning, "batch_seconds", lambda *_: [1e-9])
    run(scenes(limit=2), tmp_path / "out")
    assert facts_of(tmp_path / "out")["models"]["scenes_vgg"]["engine"]["backend"] == "openvino"
    run(scenes(engine={"backend": "torch"}), tmp_path / "torch")
    run(scenes(limit=2), tmp_path / "torch")
    assert facts_of(tmp_path / "torch")["models"]["scenes_vgg"]["engine"]["backend"] == "torch"


def test_a_run_is_not_resumed_by_another_version_nor_without_its_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_openvino: list[str]
) -> None:
    run(scenes(engine={"backend": "openvino"}), tmp_path / "out")
    monkeypatch.setattr(OpenVino, "version", lambda: "2.0")
    with pytest.raises(OutputError, match=r"holds a run with other openvino: 1\.0 -> 2\.0"):
        run(scenes(limit=2), tmp_path / "out")
    monkeypatch.setattr(OpenVino, "version", lambda: None)
    with pytest.raises(ConfigError, match=r"this run began with engine\.backend=openvino: .* --no-resume"):
        run(scenes(limit=2), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"^engine\.backend=openvino: OpenVINO is not installed: pip"):
        run(scenes(engine={"backend": "openvino"}), tmp_path / "new")


@pytest.mark.usefixtures("by_openvino")
def test_another_backend_goes_on_with_an_fp32_run_only(tmp_path: Path) -> None:
    """In fp32 it differs by rounding; each has a bf16 of its own."""
    for precision in ("fp32", "bf16"):
        folder = tmp_path / precision
        run(scenes(precision=precision, engine={"backend": "openvino"}), folder)
        again = scenes(precision=precision, engine={"backend": "torch"}, limit=2)
        if precision == "fp32":
            assert run(again, folder).computed
        else:
            with pytest.raises(OutputError, match=r"backend\.scenes_vgg: openvino -> torch"):
                run(again, folder)


def test_the_backend_that_was_found_is_remembered_with_its_version(
    tiny: Classifier, monkeypatch: pytest.MonkeyPatch, by_openvino: list[str]
) -> None:
    measured: list[Engine] = []

    def seconds(classifier: Classifier, _image: torch.Tensor, _least: float) -> list[float]:
        measured.append(classifier.engine)
        return [{"torch": 1.0, "openvino": 0.5}[classifier.engine.backend] * classifier.engine.batch_size]

    monkeypatch.setattr(tuning, "batch_seconds", seconds)
    classifier = replace(tiny, maps=(6, 8, 10))
    assert network.with_engine(scenes("rise"), classifier, pictures=10).engine.backend == "openvino"
    measured.clear()
    assert network.with_engine(scenes("rise"), classifier, pictures=10).engine.backend == "openvino"
    assert not measured
    for version, expected in (("2.0", "openvino"), (None, "torch")):
        monkeypatch.setattr(OpenVino, "version", lambda version=version: version)
        found = network.with_engine(scenes("rise"), classifier, pictures=10)
        assert found.engine.backend == expected
        assert measured


@pytest.mark.usefixtures("by_openvino")
def test_a_deterministic_run_takes_a_backend_only_when_told(tiny: Classifier) -> None:
    for backend, expected in (("auto", "torch"), ("openvino", "openvino")):
        config = scenes("rise", deterministic=True, engine={"backend": backend})
        found = network.with_engine(config, replace(tiny, maps=(6, 8, 10)), pictures=LONG)
        assert found.engine == replace(ENGINES["cpu"], backend=expected)


def test_only_masks_are_scored_in_the_runs_precision(tmp_path: Path, by_openvino: list[str]) -> None:
    """Ψ of the picture and everything that is measured with it are the fp32 network's, with every backend."""
    extra = {"extra_metrics": ["insertion", "deletion"], "limit": 2}
    records = {}
    for precision in ("fp32", "bf16"):
        for backend in ("torch", "openvino"):
            settings = {"layout": "contiguous", "batch_size": 8, "backend": backend}
            folder = tmp_path / f"{precision}-{backend}"
            by_openvino.clear()
            run(scenes("centre", "sise", precision=precision, engine=settings, **extra), folder)
            records[precision, backend] = read_records(folder).set_index(["image_id", "class_name", "method"])
    measured = ["score", "drop", "increase", "average_gain", "insertion", "deletion"]
    exact = records["fp32", "torch"]
    for found in records.values():
        asks_nothing = found.xs("centre", level="method")[measured]
        assert asks_nothing.equals(exact.xs("centre", level="method")[measured])
        assert (found["score"] == exact["score"]).all()
    assert (
        not records["bf16", "torch"]
        .xs("sise", level="method")["ebpg"]
        .equals(exact.xs("sise", level="method")["ebpg"])
    )
    assert set(by_openvino) == {"fp32", "bf16"}
