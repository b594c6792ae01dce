"""Loads a network that comes with the tool."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

from adasise_bench.data.config import DataKind
from adasise_bench.models.architectures import ARCHITECTURES

if TYPE_CHECKING:
    import torch

    from adasise_bench.models.classifier import Classifier
    from adasise_bench.models.score import ScoreName
    from adasise_bench.utils.precision import PrecisionName


def load_classifier(
    name: str,
    *,
    data: DataKind | None = None,
    checkpoint: Path | None,
    sha256: str | None,
    blocks: str,
    resize: str,
    score: ScoreName,
    precision: PrecisionName,
    device: torch.device,
    deterministic: bool = False,
    with_weights: bool = True,
) -> Classifier:
    """Load a network of :data:`.ARCHITECTURES` with its weights verified.

    The network's loader is passed those of the following that its parameters name: ``arch``, ``data``,
    ``path`` (of the weights file, or ``None``), ``sha256`` and ``fully_convolutional`` (whether the head must
    slide over inputs that are not squares). It returns the network in evaluation mode and fp32 on the CPU,
    whose parameters need no gradient, and its weights.

    Args:
        name: a name in :data:`.ARCHITECTURES`.
        data: which data's weights; by default the first that there are.
        checkpoint: local file instead of the published or shipped weights.
        sha256: start of the file's SHA-256, which is then checked.
        blocks: one of the network's settings of ``blocks``, such as ``pool-input``.
        resize: inputs of ``short-side`` need a fully convolutional network.
        score: the score Ψ.
        precision: arithmetic of the scoring passes.
        device: where the network will live.
        deterministic: whether its gradients must be repeatable.
        with_weights: otherwise weights that do not come with the tool are random ones, and none is read.

    Raises:
        WeightsError: the weights are missing, altered, or of another network.
    """
    from adasise_bench.models.batching import BatchSize
    from adasise_bench.models.classifier import Classifier
    from adasise_bench.models.engine import Engine
    from adasise_bench.models.preparation import prepared

    network = ARCHITECTURES[name]
    kind = next(iter(network.classes)) if data is None else data
    loader = network.load(weights=with_weights)
    wanted = {
        "arch": name,
        "data": kind,
        "path": checkpoint,
        "sha256": sha256,
        "fully_convolutional": resize == "short-side",
    }
    module, weights = loader(**{part: wanted[part] for part in signature(loader).parameters})
    module = prepared(module, device, repeatable=deterministic)
    return Classifier(
        name, module, network.classes[kind], network.blocks[blocks], score, precision, weights, device,
        BatchSize(1), Engine("contiguous", 1),
    )  # fmt: skip
