"""Extremal Perturbation by CUDA graphs on a GPU, and by the plain loop where there can be none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from gpu_network import tiny_on

from adasise_bench.methods import Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models import replay
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.replay import RepeatedSteps
from adasise_bench.utils.determinism import deterministic

pytestmark = pytest.mark.gpu

ITERATIONS = 70


@pytest.fixture(autouse=True)
def _told_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(RepeatedSteps, "_given_up", False)
    replay._tell.cache_clear()
    yield
    replay._tell.cache_clear()


def explain(classifier: Classifier, image: torch.Tensor, iterations: int = ITERATIONS) -> torch.Tensor:
    """The maps of two classes side by side, (2, H, W)."""
    method = parse_method(
        {"name": "extremal_perturbation", "step": 3, "sigma": 6.0, "iterations": iterations}
    )
    requests = [Request(method, image.to(classifier.device), target) for target in (1, 2)]
    return torch.stack([one.saliency for one in method.explain_together(classifier, requests)])


def passes_of(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches whose passes Python launches; counted without a hook, which forbids a capture."""
    passes: list[int] = []
    forward = classifier.module.forward

    def counted(inputs: torch.Tensor) -> torch.Tensor:
        passes.append(len(inputs))
        outputs: torch.Tensor = forward(inputs)
        return outputs

    monkeypatch.setattr(classifier.module, "forward", counted)
    return passes


def test_replayed_steps_give_the_plain_steps_bits(
    cuda: torch.device, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with deterministic(True):
        classifier = tiny_on(cuda)
        passes = passes_of(classifier, monkeypatch)
        first, second = explain(classifier, image), explain(classifier, image)
        assert len(passes) < ITERATIONS
        monkeypatch.setattr(RepeatedSteps, "_given_up", True)
        plain = explain(classifier, image)
        assert len(passes) > ITERATIONS
    assert torch.equal(first, plain)
    assert torch.equal(second, plain)


def test_a_network_that_waits_is_explained_plainly_and_memory_can_be_freed(
    cuda: torch.device,
    image: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with deterministic(True):
        classifier = tiny_on(cuda)
        expected = explain(classifier, image)
        forward = classifier.module.forward
        monkeypatch.setattr(
            classifier.module, "forward", lambda inputs: forward(inputs) if inputs.sum().item() else None
        )
        found = explain(classifier, image)
    assert torch.equal(found, expected)
    assert "the host waits for the GPU" in capsys.readouterr().err
    torch.cuda.empty_cache()
    assert not RepeatedSteps._given_up


def test_graphs_of_many_explanations_leave_no_memory_behind(cuda: torch.device, image: torch.Tensor) -> None:
    classifier = tiny_on(cuda)
    held = []
    for _ in range(4):
        explain(classifier, image)
        torch.cuda.empty_cache()
        held.append(torch.cuda.memory_reserved(cuda))
    assert held[-1] == held[1]
