"""A configured network is refused, before anything runs, where a method cannot explain it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TinyVGG, make_classifier
from torch import nn

from adasise_bench.data.scenes import SCENE_CLASSES
from adasise_bench.methods import base
from adasise_bench.records.reading import read_records
from adasise_bench.run import network
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import ConfigError, DeviceError

CPU = torch.device("cpu")
ACTIVATION = ["cam", "grad_cam", "grad_cam_pp", "score_cam", "ablation_cam"]


def scenes(*methods: Any, **changes: Any) -> RunConfig:
    tree = {
        "data": {"root": "embedded", "input_size": 96},
        "models": {"scenes_vgg": {}},
        "methods": list(methods),
        "engine": {"layout": "contiguous", "batch_size": 16},
        "limit": 2,
        "save_maps": True,
    }
    return validate(tree | changes, "test")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"name": "grad_cam", "layer": "features.99"}, "no layer 'features.99'; did you mean 'features.9'"),
        ({"name": "score_cam", "layer": "classifier"}, "layer 'classifier' gives no feature maps"),
    ],
)
def test_an_unusable_layer_ends_a_run_before_it_has_a_folder(
    tmp_path: Path, method: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"scenes_vgg: {message}"):
        run(scenes(method), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cam_is_refused_for_a_network_without_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hidden(TinyVGG):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 6))

    tiny = make_classifier(Hidden(), ("features.7",), SCENE_CLASSES, name="scenes_vgg")
    monkeypatch.setattr(network, "load_classifier", lambda *_names, **_settings: tiny)
    with pytest.raises(ConfigError, match=r"cam: scenes_vgg does not end in .*; leave cam out"):
        run(scenes("sise", "cam"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_memory_that_runs_out_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> None:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(base.Method, "check", full)
    with pytest.raises(DeviceError, match="out of memory"):
        network.load(scenes("sise"), "scenes_vgg", CPU)


@pytest.mark.parametrize(("resize", "shape"), [("stretch", (1, 3, 48, 48)), ("short-side", (1, 3, 48, 72))])
def test_methods_are_asked_with_noise_of_the_inputs_kind(
    monkeypatch: pytest.MonkeyPatch, resize: str, shape: tuple[int, ...]
) -> None:
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(base.Method, "check", lambda _self, _classifier, image: seen.append(image))
    config = scenes("sise", data={"root": "embedded", "input_size": 48, "resize": resize})
    network.load(config, "scenes_vgg", CPU)
    assert [image.shape for image in seen] == [shape]


def test_class_activation_methods_run_alone_and_together(tmp_path: Path) -> None:
    """The same maps, whether the classes of a picture share the passes or not."""
    run(scenes(*ACTIVATION), tmp_path / "alone")
    run(scenes(*ACTIVATION, share_forwards=True), tmp_path / "together")
    alone, together = (read_records(tmp_path / name) for name in ("alone", "together"))
    assert alone["error"].isna().all()
    assert set(alone["method"]) == set(ACTIVATION)
    assert len(alone) == len(together)
    assert (alone["forwards"].to_numpy() == together["forwards"].to_numpy()).all()
    maps = sorted(path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*.npy"))
    assert len(maps) == len(alone)
    for path in maps:
        expected = np.load(tmp_path / "alone" / path)
        found = np.load(tmp_path / "together" / path)
        np.testing.assert_allclose(found, expected, atol=1e-6 * max(1e-9, expected.max()), rtol=1e-5)
