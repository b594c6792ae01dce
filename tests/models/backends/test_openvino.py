"""OpenVINO's outputs are torch's, whatever the batch; what it cannot convert, or gets wrong, torch runs."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import TinyVGG, make_classifier
from torch import nn
from torchvision import models
from torchvision.models.resnet import Bottleneck, ResNet

from adasise_bench.methods.extremal_perturbation.extremal_perturbation import OBJECTIVES
from adasise_bench.methods.masking import score_masks
from adasise_bench.models.backends.openvino import OpenVino
from adasise_bench.models.backends.probe import masked_noise
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import LAYOUTS, Engine, LayoutName
from adasise_bench.models.forward_errors import name_errors
from adasise_bench.models.loading import load_classifier
from adasise_bench.models.preparation import prepared
from adasise_bench.models.tuning import tune
from adasise_bench.models.workload import Workload

pytest.importorskip("openvino")  # an extra; CI has it

CPU = torch.device("cpu")
CLASSES = tuple("abcdefghijklmnopqrst")
SIZES = (1, 4, 8)


def tiny() -> Classifier:
    torch.manual_seed(3)
    return make_classifier(TinyVGG(), ("features.1",), tuple("abcd"))


def somebody_elses() -> Classifier:
    """Its forward pass is an object, as that of every network that is not the tool's own."""
    plain = tiny()
    return make_classifier(name_errors(plain.module, "models.own"), ("features.1",), plain.classes)


def scenes_vgg() -> Classifier:
    return load_classifier(
        "scenes_vgg", data="scenes", checkpoint=None, sha256=None, blocks="pool-input", resize="stretch",
        score="softmax", precision="fp32", device=CPU,
    )  # fmt: skip


def resnet50() -> Classifier:
    """TorchRay's ResNet-50 with random weights, its normalisations folded."""
    torch.manual_seed(5)
    module = ResNet(Bottleneck, [3, 4, 6, 3], num_classes=20)
    module.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
    module.maxpool = nn.MaxPool2d(3, stride=2, padding=0, ceil_mode=True)
    return make_classifier(prepared(module.eval(), CPU, repeatable=False), ("layer4",), CLASSES)


def vgg16() -> Classifier:
    torch.manual_seed(5)
    return make_classifier(models.vgg16(num_classes=20), ("features.29",), CLASSES)


def inputs(count: int, size: tuple[int, int], layout: LayoutName = "contiguous") -> torch.Tensor:
    """Masked noise as TorchRay's networks get it."""
    made = masked_noise(torch.Size([count, 3, *size]), tiny().preprocessing)
    return made.contiguous(memory_format=LAYOUTS[layout])


def by_openvino(classifier: Classifier, count: int, layout: LayoutName = "contiguous") -> Classifier:
    return classifier.with_engine(Engine(layout, count, "openvino"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("network", [tiny, somebody_elses, scenes_vgg, resnet50, vgg16])
def test_scores_are_torchs(network: Callable[[], Classifier], layout: LayoutName) -> None:
    plain = network()
    classifier = by_openvino(plain, 4, layout)
    batch = inputs(4, (64, 56), layout)
    found = classifier.scores(batch)
    assert classifier.backend is not None
    assert not classifier.backend.failed
    torch.testing.assert_close(found, plain.scores(batch), atol=1e-5, rtol=0)
    with torch.no_grad():
        raw, expected = classifier.backend(batch, "fp32"), plain.module(batch)
    assert float((raw - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("network", [tiny, scenes_vgg, resnet50])
def test_an_inputs_outputs_do_not_depend_on_its_batch(
    network: Callable[[], Classifier], precision: Any
) -> None:
    """To the bit: at every batch size, at every place, beside other inputs, and again."""
    plain, size = network(), (64, 56)
    many = inputs(8, size)
    outputs: dict[int, list[torch.Tensor]] = {number: [] for number in range(8)}
    for count in SIZES:
        forward = by_openvino(plain, count).backend
        assert forward is not None
        for shift in (0, 1, 3):
            order = [(number + shift) % 8 for number in range(8)]
            for start in range(0, 8, count):
                chosen = order[start : start + count]
                found = forward(many[chosen], precision)
                for number, row in zip(chosen, found, strict=True):
                    outputs[number].append(row)
        assert not forward.failed
    for rows in outputs.values():
        assert len(rows) == 9
        assert all(torch.equal(rows[0], row) for row in rows)


@pytest.mark.parametrize("network", [tiny, resnet50])
def test_the_number_of_threads_changes_nothing(network: Callable[[], Classifier]) -> None:
    plain, batch = network(), inputs(4, (64, 56))
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(by_openvino(plain, 4).scores(batch))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_bf16_is_another_arithmetic() -> None:
    plain, batch = scenes_vgg(), inputs(4, (64, 64))
    backend = by_openvino(plain, 4).backend
    assert backend is not None
    exact, rounded = backend(batch, "fp32"), backend(batch, "bf16")
    largest = float(exact.abs().max())
    assert float((exact - rounded).abs().max()) < 0.05 * largest
    if "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags():
        assert float((exact - rounded).abs().max()) > 1e-4 * largest


def _cpu_flags() -> str:
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""


def test_outputs_stay_when_the_next_batch_passes() -> None:
    plain = tiny()
    backend = by_openvino(plain, 2).backend
    assert backend is not None
    first = backend(inputs(2, (48, 40)), "fp32")
    kept = first.clone()
    backend(inputs(2, (48, 40)) * -2, "fp32")
    assert torch.equal(first, kept)


def test_inputs_are_not_copied_and_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenVINO is given lies where the inputs lie, in both memory layouts."""
    import openvino

    given: list[int] = []
    infer = openvino.InferRequest.infer

    def watch(self: Any, values: Any, **settings: Any) -> Any:
        assert settings == {"share_inputs": True, "share_outputs": True}
        given.append(values[0].ctypes.data)
        assert values[0].flags.c_contiguous
        return infer(self, values, **settings)

    monkeypatch.setattr(openvino.InferRequest, "infer", watch)
    for layout in LAYOUTS:
        backend = by_openvino(tiny(), 2, layout).backend
        assert backend is not None
        batch = inputs(2, (48, 40), layout)
        before = batch.clone()
        backend(batch, "fp32")
        assert given[-1] == batch.data_ptr()
        assert torch.equal(batch, before)


def test_inputs_that_lie_in_no_order_are_read_right() -> None:
    """Such as one input that stands for all, or every other column."""
    backend = by_openvino(tiny(), 2).backend
    assert backend is not None
    batch = inputs(2, (48, 80))
    for strided in (batch[:1, ..., :40].expand(2, -1, -1, -1), batch[..., ::2]):
        assert not strided.is_contiguous()
        assert torch.equal(backend(strided, "fp32"), backend(strided.contiguous(), "fp32"))
    assert not backend.failed


def test_masks_are_scored_as_by_torch(image: torch.Tensor) -> None:
    maps = [torch.rand(11, 6, 5, generator=torch.Generator().manual_seed(1))]
    expected = score_masks(tiny(), image, maps)[0].scores
    found = score_masks(by_openvino(tiny(), 4), image, maps)[0].scores
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


class Branching(TinyVGG):
    """Goes another way for bright inputs, which a trace of one input would not show."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = super().forward(x)
        return found if float(x.mean()) > 0 else found * 2


class Special(torch.autograd.Function):
    """An operation that only torch knows."""

    @staticmethod
    def forward(_context: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)

    @staticmethod
    def backward(_context: Any, x: torch.Tensor) -> torch.Tensor:
        return x


class Bessel(TinyVGG):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Special.apply(super().forward(x)) * 3


@pytest.mark.parametrize("network", [Branching, Bessel])
def test_what_cannot_be_converted_runs_by_torch(
    network: type[nn.Module], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    plain = make_classifier(name_errors(network(), "models.own"), ("features.1",), tuple("abcd"), name="own")
    classifier = by_openvino(plain, 4)
    batch = inputs(4, (48, 40))
    for _ in range(2):
        assert torch.equal(classifier.scores(batch), plain.scores(batch))
    assert classifier.backend is not None
    assert classifier.backend.failed
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("models.own: openvino cannot run it: ")
    assert said.endswith("; torch does instead\n")


class Spectrum(TinyVGG):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.fft.ifft2(torch.fft.fft2(x)).real)


class Normalised(TinyVGG):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.layer_norm(x, x.shape[-1:]))


def test_the_operation_that_openvino_does_not_know_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    classifier = by_openvino(make_classifier(Spectrum(), ("features.1",), tuple("abcd")), 4)
    classifier.scores(inputs(4, (48, 40)))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert (
        "cannot run it: OpConversionFailure: No conversion rule found for operations: aten._fft_c2c" in said
    )
    classifier = by_openvino(make_classifier(Normalised(), ("features.1",), tuple("abcd")), 4)
    classifier.input_gradient(inputs(4, (48, 40)), torch.arange(4), OBJECTIVES["simple"])
    assert "gradients: OpConversionFailure: Conversion is failed for: " in capsys.readouterr().err


def test_what_cannot_be_converted_is_tried_in_one_batch_size(capsys: pytest.CaptureFixture[str]) -> None:
    plain = make_classifier(Branching(), ("features.1",), tuple("abcd"))
    found = tune(
        plain, inputs(1, (48, 40)), layout=None, batch_size=None, backends=("openvino",), workload=Workload()
    )
    assert found.backend == "torch"
    assert capsys.readouterr().err.count("openvino cannot run it") == 1


def test_wrong_numbers_are_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A backend that is off in one class of one input by 0.2 % of the largest output."""
    prepare = OpenVino.prepare

    def wrong(self: OpenVino, batch: torch.Tensor, precision: Any) -> Any:
        forward = prepare(self, batch, precision)

        def shifted(given: torch.Tensor) -> torch.Tensor:
            outputs = forward(given)
            outputs[-1, 2] += 2e-3 * outputs.abs().max()
            return outputs

        return shifted

    plain, batch = tiny(), inputs(4, (48, 40))
    monkeypatch.setattr(OpenVino, "prepare", wrong)
    classifier = by_openvino(plain, 4)
    assert torch.equal(classifier.scores(batch), plain.scores(batch))
    assert classifier.backend is not None
    assert classifier.backend.failed
    said = capsys.readouterr().err
    told = "models.tiny: openvino cannot run it: its outputs differ from torch's by 0.002 of the largest"
    assert said.startswith(told)
    assert said.count("\n") == 1


def test_a_deviation_is_looked_for_in_fp32_also_where_bf16_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    prepare = OpenVino.prepare

    def watch(self: OpenVino, batch: torch.Tensor, precision: Any) -> Any:
        asked.append(precision)
        return prepare(self, batch, precision)

    monkeypatch.setattr(OpenVino, "prepare", watch)
    backend = by_openvino(tiny(), 4).backend
    assert backend is not None
    backend(inputs(4, (48, 40)), "bf16")
    assert asked == ["fp32", "bf16"]
    assert not backend.failed


def test_the_network_is_left_as_it_was() -> None:
    plain = scenes_vgg()
    before = {name: value.clone() for name, value in plain.module.state_dict().items()}
    hooks, forward = dict(plain.module._forward_hooks), plain.module.forward
    by_openvino(plain, 2).scores(inputs(2, (64, 64)))
    assert all(torch.equal(before[name], value) for name, value in plain.module.state_dict().items())
    assert (dict(plain.module._forward_hooks), plain.module.forward) == (hooks, forward)
    assert not any(parameter.requires_grad for parameter in plain.module.parameters())
    assert not plain.module.training


def _in_a_child(classifier: Classifier, batch: torch.Tensor, expected: torch.Tensor) -> None:
    torch.set_num_threads(1)
    torch.testing.assert_close(classifier.scores(batch), expected, atol=1e-6, rtol=0)
    assert classifier.backend is not None
    os._exit(7 if classifier.backend.failed else 8)


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_forked_process_does_not_hang() -> None:
    """OpenVINO's threads do not live on in it; torch scores there instead."""
    classifier, batch = by_openvino(tiny(), 4), inputs(4, (48, 40))
    expected = classifier.scores(batch)
    process = multiprocessing.get_context("fork").Process(
        target=_in_a_child, args=(classifier, batch, expected), daemon=True
    )
    process.start()
    process.join(60)
    assert process.exitcode == 7
    assert torch.equal(classifier.scores(batch), expected)


def test_nothing_of_openvino_is_imported_unless_used() -> None:
    code = (
        "import sys; import adasise_bench.run.network, adasise_bench.models.tuning; "
        "from adasise_bench.models.backends import usable; import torch; "
        "assert 'openvino' in usable('auto', torch.device('cpu'), 'fp32'); "
        "sys.exit(any(name.partition('.')[0] == 'openvino' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
