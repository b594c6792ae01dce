"""A trained classifier as the methods and metrics see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from adasise_bench.models.precision import PrecisionName, arithmetic
from adasise_bench.models.score import ScoreName, monotone_psi, psi


@dataclass(frozen=True)
class Weights:
    """Provenance of a network's weights: file name, SHA-256, and whether they are TorchRay's own."""

    file: str
    sha256: str
    published: bool


@dataclass(frozen=True)
class BlockMaps:
    """Feature maps of one block for one image.

    Attributes:
        maps: (K, h, w) float32, without gradient.
        gradients: (K,) float64, the summed gradient σ_k of every map; NaN and infinity are possible.
    """

    maps: torch.Tensor
    gradients: torch.Tensor


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode with named blocks, on one device.

    Attributes:
        name: architecture, as in the configuration.
        module: takes (N, 3, H, W), gives (N, C) or (N, C, h, w) raw outputs.
        classes: the C class names in output order.
        blocks: modules whose outputs are the blocks' last feature maps, from the input side.
        score: the score Ψ used for gradients, mask weights and metrics.
        precision: arithmetic of the scoring passes; feature maps and gradients are always fp32.
        weights: where the weights come from.
    """

    name: str
    module: nn.Module
    classes: tuple[str, ...]
    blocks: tuple[str, ...]
    score: ScoreName
    precision: PrecisionName
    weights: Weights
    device: torch.device

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Raw outputs at image level, (N, C): positions of a fully convolutional output are averaged."""
        outputs: torch.Tensor = self.module(inputs)
        return outputs.mean(dim=(2, 3)) if outputs.ndim == 4 else outputs

    @torch.no_grad()
    def scores(self, inputs: torch.Tensor) -> torch.Tensor:
        """Ψ of every class for (N, 3, H, W) inputs: (N, C) float32."""
        with arithmetic(self.precision, self.device):
            outputs = self.outputs(inputs)
        return psi(outputs, self.score)

    def block_maps(self, image: torch.Tensor, target: int) -> list[BlockMaps]:
        """Feature maps of all blocks and their summed gradients, by one forward and one backward pass.

        The graph starts at the first block's maps, so the parameters' ``requires_grad`` does not matter
        and stays as it is.

        Args:
            image: (1, 3, H, W) network input.
            target: index of the class whose score is differentiated.
        """
        with self._captured_maps() as captured, torch.enable_grad(), arithmetic("fp32", self.device):
            objective = monotone_psi(self.outputs(image), self.score)[0, target]
            gradients = torch.autograd.grad(objective, captured)
        return [
            BlockMaps(maps[0].detach(), gradient[0].double().sum(dim=(1, 2)))
            for maps, gradient in zip(captured, gradients, strict=True)
        ]

    @torch.no_grad()
    def maps_available(self, image: torch.Tensor) -> list[int]:
        """Number of feature maps of each block."""
        with self._captured_maps() as captured:
            self.outputs(image)
        return [maps.shape[1] for maps in captured]

    @contextmanager
    def _captured_maps(self) -> Iterator[list[torch.Tensor]]:
        """Collect the blocks' outputs of the forward passes in the body; hooks are always removed."""
        captured: list[torch.Tensor] = []

        def capture(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
            if not captured:
                output = output.detach().requires_grad_(torch.is_grad_enabled())
            captured.append(output)
            return output

        hooks = [self.module.get_submodule(block).register_forward_hook(capture) for block in self.blocks]
        try:
            yield captured
        finally:
            for hook in hooks:
                hook.remove()
