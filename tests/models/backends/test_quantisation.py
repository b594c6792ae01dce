"""int8 is calibrated on fixed inputs, stays near fp32, and is asked of masks alone."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr

from adasise_bench.data.scenes import draw_scene
from adasise_bench.data.transforms import CAFFE, Preprocessing, to_input
from adasise_bench.methods.masking import score_masks
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models.backends import usable
from adasise_bench.models.backends.openvino import OpenVino
from adasise_bench.models.backends.probe import masked_noise
from adasise_bench.models.backends.quantisation import calibration_batches, quantised
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.loading import load_classifier
from adasise_bench.utils.errors import ConfigError

CPU = torch.device("cpu")


def scenes_vgg() -> Classifier:
    return load_classifier(
        "scenes_vgg", data="scenes", checkpoint=None, sha256=None, blocks="pool-input", resize="stretch",
        score="softmax", precision="int8", device=CPU,
    )  # fmt: skip


@pytest.mark.parametrize("preprocessing", [CAFFE, Preprocessing(1, (0.5, 0.4, 0.3), (0.2, 0.2, 0.3))])
def test_the_calibration_is_always_the_same_and_has_scenes_under_masks(preprocessing: Preprocessing) -> None:
    batches = list(calibration_batches(torch.Size([8, 3, 48, 40]), preprocessing))
    again = list(calibration_batches(torch.Size([8, 3, 48, 40]), preprocessing))
    assert all(torch.equal(one, other) for one, other in zip(batches, again, strict=True))
    inputs = torch.cat(batches)
    assert inputs.shape == (96, 3, 48, 40)
    assert len({tuple(one.flatten().tolist()) for one in inputs}) == 96
    scene = to_input(Image.fromarray(draw_scene(0, 0).pixels), "stretch", 48, preprocessing)
    scene = torch.nn.functional.interpolate(scene, (48, 40), mode="bilinear")[0]
    shares = inputs[0] / scene
    assert torch.isfinite(shares).float().mean() > 0.9
    shares = shares[torch.isfinite(shares)]
    assert float(shares.min()) >= -1e-4
    assert float(shares.max()) <= 1 + 1e-4
    assert float((shares < 0.1).float().mean()) > 0.02
    assert float((shares > 0.9).float().mean()) > 0.02


def test_int8_weighs_masks_as_fp32_does() -> None:
    pytest.importorskip("nncf")
    plain = scenes_vgg()
    image = to_input(Image.fromarray(draw_scene(0, 3).pixels), "stretch", 64)
    maps = [block.maps for block in plain.block_maps(image, [0])][-1][:24]
    maps = maps[maps.amax(dim=(1, 2)) > maps.amin(dim=(1, 2))]
    variables, before = dict(os.environ), torch.nn.functional.conv2d
    found = [
        score_masks(plain.with_engine(Engine("channels_last", 8, "openvino")), image, [maps])[0].scores
        for _ in range(2)
    ]
    assert (dict(os.environ), torch.nn.functional.conv2d) == (variables, before)
    exact = score_masks(replace(plain, precision="fp32"), image, [maps])[0].scores
    assert torch.equal(*found)
    assert not torch.allclose(found[0], exact, atol=1e-4)
    target = int(exact.mean(dim=0).argmax())
    assert spearmanr(found[0][:, target], exact[:, target]).statistic > 0.95
    assert float((found[0] - exact)[:, target].abs().mean()) < 0.05
    backend = plain.with_engine(Engine("contiguous", 8, "openvino")).backend
    assert backend is not None
    inputs = masked_noise(torch.Size([8, 3, 64, 64]), CAFFE)
    raw, rounded = backend(inputs, "fp32"), backend(inputs, "int8")
    assert 1e-4 < float((raw - rounded).abs().max() / raw.abs().max()) < 0.05


def chain(shape: torch.Size, layers: int) -> Any:
    """OpenVINO's model of some convolutions, each with weights of its own."""
    from openvino import Model, opset13

    pictures = outputs = opset13.parameter(list(shape), name="pictures")
    for number in range(layers):
        weights = torch.rand(3, 3, 3, 3, generator=torch.Generator().manual_seed(number)).numpy()
        outputs = opset13.convolution(outputs, opset13.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1])
    return Model([opset13.result(outputs)], [pictures])


def test_what_can_be_negative_has_a_zero_point_of_its_own() -> None:
    """A range about 0 would spend integers on values that no picture has."""
    pytest.importorskip("nncf")
    shape = torch.Size([8, 3, 32, 32])
    inputs = torch.cat(list(calibration_batches(shape, CAFFE)))
    (layer,) = convolutions(quantised(chain(shape, 1), shape, CAFFE))
    quantiser = layer.input_value(0).get_node()
    low, high = (float(quantiser.input_value(place).get_node().data.reshape(-1)[0]) for place in (1, 2))
    assert low == pytest.approx(float(inputs.min()), rel=0.1)
    assert high == pytest.approx(float(inputs.max()), rel=0.1)
    assert high / -low > 1.1


def test_the_first_fifth_of_the_layers_is_not_quantised() -> None:
    pytest.importorskip("nncf")
    shape = torch.Size([8, 3, 48, 48])
    layers = convolutions(quantised(chain(shape, 10), shape, CAFFE))
    kinds = [[layer.input_value(place).get_node().get_type_name() for place in (0, 1)] for layer in layers]
    assert kinds[:2] == [["Parameter", "Constant"], ["Convolution", "Constant"]]
    assert all(kind[0] == "FakeQuantize" for kind in kinds[2:])


def convolutions(model: Any) -> list[Any]:
    return [one for one in model.get_ordered_ops() if one.get_type_name() == "Convolution"]


def test_what_describes_the_network_is_not_quantised() -> None:
    classifier = scenes_vgg()
    inputs = torch.cat(list(calibration_batches(torch.Size([3, 3, 64, 64]), CAFFE))[:1])
    with torch.no_grad():
        assert torch.equal(classifier.reference_scores(inputs), classifier.module(inputs).softmax(dim=1))


def test_torch_does_not_stand_in_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("cannot")

    monkeypatch.setattr(OpenVino, "prepare", fail)
    classifier = scenes_vgg().with_engine(Engine("contiguous", 3, "openvino"))
    with pytest.raises(
        ConfigError,
        match=r"precision=int8: torch does not compute in int8: set engine\.backend",
    ):
        classifier.scores(torch.zeros(3, 3, 64, 64))
    assert "models.scenes_vgg: openvino cannot run it: ValueError: cannot" in capsys.readouterr().err


@pytest.mark.parametrize("choice", ["auto", "torch", "torch-compile", "openvino"])
def test_it_needs_openvino_and_nncf(monkeypatch: pytest.MonkeyPatch, choice: Any) -> None:
    monkeypatch.setattr(OpenVino, "version", lambda: "2026.4.1")
    for nncf in ("3.4.0", None):
        monkeypatch.setattr("adasise_bench.models.backends.openvino.nncf_version", lambda nncf=nncf: nncf)
        if nncf and choice in ("auto", "openvino"):
            assert usable(choice, CPU, "int8") == ("openvino",)
            continue
        with pytest.raises(ConfigError, match=r"int8.*, or choose another precision$") as refused:
            usable(choice, CPU, "int8")
        assert ("adasise-bench[int8]" in str(refused.value)) == (choice in ("auto", "openvino"))


def test_extremal_perturbation_is_refused() -> None:
    method = parse_method({"name": "extremal_perturbation", "label": "ep"})
    with pytest.raises(ConfigError, match=r"^methods: ep: .*int8.* another precision") as refused:
        method.check(scenes_vgg(), torch.zeros(1, 3, 64, 64))
    assert "\n" not in str(refused.value)
