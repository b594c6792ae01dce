"""Networks are tried out without their weights, and what does not exist is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from adasise_bench.data.voc import VOC_CLASSES
from adasise_bench.models import checkpoint
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate
from adasise_bench.run.forecast.networks import refuse_absent_networks, try_network
from adasise_bench.utils.errors import BenchError, ConfigError

CPU = torch.device("cpu")


def config(models: dict[str, Any], **changes: Any) -> RunConfig:
    tree = {"models": models, "methods": ["sise"], "data": {"input_size": 32}}
    return validate(tree | changes, "test")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_arguments: object, **_options: object) -> None:
        raise AssertionError("downloads")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    monkeypatch.setattr(checkpoint, "fetch", fetch)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"source": "torchvision", "arch": "resnet19"},
            "torchvision has no classifier 'resnet19'; did you mean",
        ),
        ({"source": "torchvision", "weights": "IMAGENET1K_V9"}, "has no 'IMAGENET1K_V9'; did you mean"),
        ({"source": "timm", "arch": "resnet19"}, "timm has no 'resnet19'; did you mean"),
        ({"source": "timm", "weights": "a1_in2k"}, "timm's resnet18 has no 'a1_in2k'; did you mean"),
        ({"source": "absent_module:make"}, "absent_module:make: cannot be imported"),
        ({"source": "math:no_such_function"}, "math:no_such_function: cannot be imported"),
        ({"source": "torchvision", "checkpoint": "absent.pth"}, "absent.pth: cannot read the weights"),
    ],
)
def test_what_does_not_exist_is_refused(model: dict[str, Any], message: str) -> None:
    if model["source"] == "timm":
        pytest.importorskip("timm")
    with pytest.raises(BenchError, match=message):
        refuse_absent_networks(config({"resnet18": model}))


def test_a_missing_checkpoint_of_a_known_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"gone\.pth: cannot read the weights: no such file"):
        refuse_absent_networks(config({"resnet50": {"checkpoint": str(tmp_path / "gone.pth")}}))


def test_a_known_network_is_tried_without_its_weights() -> None:
    trial = try_network(config({"resnet50": {}}), "resnet50", CPU, VOC_CLASSES)
    assert trial is not None
    assert trial.maps == ARCHITECTURES["resnet50"].maps
    assert trial.seconds > 0
    reference = models.resnet50(num_classes=20)
    size = sum(4 * parameter.numel() for parameter in reference.parameters())
    assert trial.weights_bytes == pytest.approx(size, rel=0.01)  # batch normalisations are folded


def test_a_library_s_network_is_tried_without_weights_and_its_maps_are_counted() -> None:
    own = {"source": "torchvision", "weights": "DEFAULT"}
    trial = try_network(config({"resnet18": own}, data={"input_size": 64}), "resnet18", CPU, VOC_CLASSES)
    assert trial is not None
    assert trial.maps == (64, 64, 128, 256, 512)
    size = sum(4 * parameter.numel() for parameter in models.resnet18(num_classes=20).parameters())
    assert trial.weights_bytes == pytest.approx(size, rel=0.01)


def test_a_function_of_the_user_s_is_not_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "costly_nets.py").write_text("def make():\n    raise SystemExit('called')\n")
    monkeypatch.syspath_prepend(tmp_path)
    asked = config({"mine": {"source": "costly_nets:make"}})
    refuse_absent_networks(asked)
    assert try_network(asked, "mine", CPU, VOC_CLASSES) is None


def test_a_method_that_cannot_explain_the_network_is_refused() -> None:
    asked = config({"plain": {"source": "torchvision", "arch": "alexnet"}}, methods=["cam"])
    asked = asked.model_copy(update={"data": asked.data.model_copy(update={"input_size": 64})})
    with pytest.raises(ConfigError, match="cam"):
        try_network(asked, "plain", CPU, VOC_CLASSES)
