"""What never changes a value, and what a deterministic run fixes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden_maps
import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import twenty_classes, values
from torch import nn

from adasise_bench.data.loading import open_dataset
from adasise_bench.methods import Request
from adasise_bench.methods.registry import METHODS as METHODS_OF_THE_TOOL
from adasise_bench.methods.sise.sise import Sise
from adasise_bench.models import torchray_networks, tuning
from adasise_bench.models.classifier import Classifier, Weights
from adasise_bench.models.engine import ENGINES, Engine
from adasise_bench.models.loading import load_classifier
from adasise_bench.models.surgery import MatrixAveragePool
from adasise_bench.records.reading import read_records
from adasise_bench.run import network, worker
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.utils.determinism import deterministic, pair_seed
from adasise_bench.utils.errors import ConfigError, DeviceError, OutputError

METHODS = ["sise", "ada_sise", {"name": "extremal_perturbation", "iterations": 4}]


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "load_classifier", lambda name, **_settings: twenty_classes(name))


@pytest.fixture
def config(voc_root: Path) -> Callable[..., RunConfig]:
    def make(**changes: Any) -> RunConfig:
        tree = {
            "data": {"root": str(voc_root), "input_size": 32},
            "models": {"resnet50": {}},
            "methods": METHODS,
            "device": "cpu",
            "save_maps": True,
            "deterministic": True,
        }
        return validate(tree | changes, "test")

    return make


def assert_same(folder: Path, whole: Path) -> None:
    """Every record and map of ``folder`` is in ``whole``, to the bit."""
    part, all_of_it = values(folder), values(whole)
    keys = ["model", "method", "image_id", "class_name"]
    expected = part[keys].merge(all_of_it, on=keys)
    pd.testing.assert_frame_equal(part, expected, check_exact=True)
    for path in (folder / "maps").rglob("*.npy"):
        assert path.read_bytes() == (whole / path.relative_to(folder)).read_bytes(), path


def test_nothing_else_that_is_asked_for_changes_a_value(
    config: Callable[..., RunConfig], voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config(), tmp_path / "whole")
    assert len(values(tmp_path / "whole")) == 12
    run(config(), tmp_path / "again")
    run(config(limit=1), tmp_path / "resumed")
    run(config(), tmp_path / "resumed")
    run(config(limit=2), tmp_path / "limit")
    run(config(methods=METHODS[::-1]), tmp_path / "order_of_methods")
    run(config(methods=["ada_sise"]), tmp_path / "subset_of_methods")
    run(config(timing={"warmup": 1}), tmp_path / "warm")
    monkeypatch.setattr(worker, "_LOOKAHEAD", 1)
    run(config(), tmp_path / "loaded_one_by_one")
    listed = voc_root / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    listed.write_text("000003\n000001\n000002\n")
    run(config(), tmp_path / "order_of_pictures")
    for folder in set(tmp_path.iterdir()) - {voc_root, tmp_path / "whole"}:
        assert_same(folder, tmp_path / "whole")


def test_torch_is_told_while_a_deterministic_run_lasts(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(tuning, "_seconds_per_input", lambda *_: pytest.fail("measures"))
    explain_and_measure = worker.explain_and_measure
    seen = []

    def watch(classifier: Classifier, *arguments: Any) -> Any:
        cudnn = torch.backends.cudnn
        told = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
        seen.append((*told, os.environ["CUBLAS_WORKSPACE_CONFIG"], classifier.engine))
        return explain_and_measure(classifier, *arguments)

    monkeypatch.setattr(worker, "explain_and_measure", watch)
    run(config(methods=["sise"], limit=1), tmp_path / "out")
    assert set(seen) == {(True, True, False, ":4096:8", ENGINES["cpu"])}
    assert not torch.are_deterministic_algorithms_enabled()
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (False, True)
    facts = json.loads((tmp_path / "out/environment.json").read_text())
    assert facts["deterministic"] is True
    assert Engine(**facts["models"]["resnet50"]["engine"]) == ENGINES["cpu"]


class _Unrepeatable(torch.autograd.Function):
    """torch's adaptive average pooling, refused as a GPU refuses its gradient in a deterministic run."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, size: Any) -> torch.Tensor:
        return torch.ops.aten._adaptive_avg_pool2d(inputs, size)

    @staticmethod
    def backward(ctx: Any, *_gradients: torch.Tensor) -> Any:
        raise RuntimeError(
            "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, x"
        )


NETWORKS = """
import torch
from torch import nn

def network(pooling=None):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), pooling or nn.AdaptiveAvgPool2d(5),
        nn.Flatten(), nn.Linear(12 * 25, 6),
    )

class Pooling(nn.Module):
    def forward(self, maps):
        return nn.functional.adaptive_avg_pool2d(maps, (5, 5))

def hidden():
    return network(Pooling())
"""


@pytest.fixture
def unrepeatable_pooling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], RunConfig]:
    """Pooling as on a GPU; makes configurations with networks that have it."""
    (tmp_path / "pooling_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    pool = torch.nn.functional.adaptive_avg_pool2d

    def pooled(inputs: torch.Tensor, size: Any) -> torch.Tensor:
        return _Unrepeatable.apply(inputs, [5, 5]) if size in (5, (5, 5)) else pool(inputs, size)

    monkeypatch.setattr(torch.nn.functional, "adaptive_avg_pool2d", pooled)

    def make(function: str) -> RunConfig:
        entry = {"source": f"pooling_networks:{function}", "mean": [0.5] * 3, "std": [0.25] * 3}
        tree = {
            "data": {"root": "embedded", "input_size": 48},
            "models": {"mine": entry},
            "methods": ["sise", "grad_cam", {"name": "information_bottleneck", "pictures": 2}],
            "device": "cpu",
            "limit": 1,
            "deterministic": True,
        }
        return validate(tree, "test")

    return make


def test_no_gradient_is_taken_before_pooling_is_replaced(
    unrepeatable_pooling: Callable[[str], RunConfig], tmp_path: Path
) -> None:
    assert run(unrepeatable_pooling("network"), tmp_path / "out").errors == 0


def test_pooling_that_cannot_be_replaced_is_named(
    unrepeatable_pooling: Callable[[str], RunConfig], tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match=r"^models\.mine: deterministic: adaptive_avg_pool2d_backward_cuda"):
        run(unrepeatable_pooling("hidden"), tmp_path / "out")


def test_pooling_without_a_repeatable_gradient_is_replaced(
    config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> tuple[nn.Module, Weights]:
        classifier = twenty_classes("resnet50")
        classifier.module.features.append(nn.AdaptiveAvgPool2d((7, 7)))
        return classifier.module, classifier.weights

    monkeypatch.setattr(network, "load_classifier", load_classifier)
    monkeypatch.setattr(torchray_networks, "load", load)
    kinds = {
        wanted: type(
            network.load(
                config(deterministic=wanted, methods=["centre"]), "resnet50", torch.device("cpu")
            ).module.features[-1]
        )
        for wanted in (True, False)
    }
    assert kinds == {True: MatrixAveragePool, False: nn.AdaptiveAvgPool2d}


@pytest.mark.parametrize("method", METHODS_OF_THE_TOOL)
def test_no_explanation_reads_memory_before_it_is_written(method: str) -> None:
    """Such memory is filled with what is no number, which would spread; a deterministic run fills none."""
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.utils.deterministic.fill_uninitialized_memory
        filled = golden_maps.golden_map(method)
        with deterministic(True):
            assert not torch.utils.deterministic.fill_uninitialized_memory
            plain = golden_maps.golden_map(method)
        assert torch.utils.deterministic.fill_uninitialized_memory
    finally:
        torch.use_deterministic_algorithms(False)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled, plain)


def test_an_algorithm_that_torch_cannot_repeat_is_a_recorded_error(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unrepeatable(*_arguments: object) -> None:
        raise RuntimeError("grid_sampler does not have a deterministic implementation, but you set. More.")

    monkeypatch.setattr(Sise, "explain", unrepeatable)
    assert run(config(methods=["sise"], limit=1), tmp_path / "out").errors == 2
    assert read_records(tmp_path / "out")["error"][0].startswith("deterministic: grid_sampler does not")


def test_sessions_that_could_differ_in_rounding_do_not_mix(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config(limit=1, methods=["sise"]), tmp_path / "out")
    with pytest.raises(OutputError, match=r"engine\.resnet50\.batch_size: 16 -> 8"):
        run(config(methods=["sise"], engine={"batch_size": 8}), tmp_path / "out")
    with pytest.raises(OutputError, match=r"deterministic: True -> None"):
        run(config(methods=["sise"], deterministic=False), tmp_path / "out")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    with pytest.raises(OutputError, match=r"threads: \d+ -> 77"):
        run(config(methods=["sise"]), tmp_path / "out")
    plain = config(limit=1, methods=["sise"], deterministic=False)
    run(plain, tmp_path / "plain")
    monkeypatch.undo()
    monkeypatch.setattr(network, "load_classifier", lambda name, **_settings: twenty_classes(name))
    again = config(limit=1, methods=["sise"], deterministic=False, engine={"batch_size": 8})
    assert run(again, tmp_path / "plain").computed == 0


@pytest.mark.parametrize(
    ("device", "changes", "timed"),
    [
        ("cuda", {"deterministic": False}, True),
        ("cuda", {}, False),
        ("cuda", {"deterministic": False, "data": {"root": "embedded", "resize": "short-side"}}, False),
        ("cpu", {"deterministic": False}, False),
    ],
)
def test_cudnn_times_its_kernels_where_all_batches_have_one_shape(
    config: Callable[..., RunConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    changes: dict[str, Any],
    timed: bool,
) -> None:
    monkeypatch.setattr(network, "load", lambda *_: twenty_classes("resnet50"))
    monkeypatch.setattr(network, "refuse_missing_classes", lambda *_: None)
    chosen = config(
        methods=["sise"], models={"scenes_vgg": {}} if "data" in changes else {"resnet50": {}}, **changes
    )
    dataset = open_dataset(chosen.data)
    made = worker.Worker(chosen, torch.device(device), tmp_path, dataset, len(dataset.images))
    assert [classifier.times_kernels for classifier in made._classifiers.values()] == [timed]


def test_what_cannot_be_deterministic_is_refused(config: Callable[..., RunConfig]) -> None:
    with pytest.raises(ConfigError, match="set share_forwards to false"):
        config(share_forwards=True)
    with pytest.raises(ConfigError, match=r"set engine\.backend to torch"):
        config(engine={"backend": "torch-compile"})
    assert config().digest() != config(deterministic=False).digest()


def test_a_seed_follows_from_seed_picture_class_and_method() -> None:
    asked = (0, "000001", "dog", "sise")
    assert pair_seed(*asked) == 8805785238246732246
    changed = [(1, *asked[1:]), (0, "000002", *asked[2:]), (*asked[:2], None, "sise"), (*asked[:3], "rise")]
    seeds = {pair_seed(*other) for other in [asked, *changed, (0, "000001d", "og", "sise")]}
    assert len(seeds) == 6
    many = np.array([pair_seed(seed, *asked[1:]) for seed in range(2000)], dtype=np.float64) / 2**63
    assert many.min() >= 0
    assert many.max() < 1
    assert abs(many.mean() - 0.5) < 0.03


def test_methods_are_handed_the_seed_whatever_else_is_asked_for(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: dict[str, list[int]] = {}

    def seeds(folder: str, **changes: Any) -> list[int]:
        explain_and_measure = worker.explain_and_measure

        def watch(classifier: Classifier, request: Request, *rest: Any) -> Any:
            handed.setdefault(folder, []).append(request.seed)
            return explain_and_measure(classifier, request, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(worker, "explain_and_measure", watch)
            run(config(seed=5, save_maps=False, **changes), tmp_path / folder)
        return handed[folder]

    expected = [pair_seed(5, "000001", name, "ada_sise") for name in ("dog", "person")]
    assert seeds("one", methods=["ada_sise"], limit=1) == expected
    assert seeds("two", methods=["sise", "ada_sise"], limit=1)[2:] == expected


def test_a_yardstick_that_does_not_fit_ends_no_run(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_of_memory(*_: object) -> float:
        raise torch.OutOfMemoryError("planted")

    monkeypatch.setattr(tuning, "plain_forward_seconds", short_of_memory)
    outcome = run(config(methods=["sise"]), tmp_path / "out")
    records = read_records(tmp_path / "out")
    assert outcome.errors == 0
    assert records["seconds_plain_forward"].isna().all()
    assert records["seconds"].notna().all()
