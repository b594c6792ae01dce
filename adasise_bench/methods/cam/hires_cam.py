"""HiResCAM (Draelos and Carin 2020): every position of a map is weighted by its own gradient."""

from __future__ import annotations

from typing import Literal

import torch

from adasise_bench.methods.cam.grad_cam import GradCam
from adasise_bench.utils.devices import to_float64


class HiResCam(GradCam):
    """HiResCAM: L = ReLU(Σ_k ∂y/∂A_k ⊙ A_k).

    Grad-CAM averages the gradient of a map over its positions; HiResCAM does not. Where one linear layer
    follows the maps, the sum over all positions, before the ReLU, is the raw output y without its bias. The
    paper shows positive values; negative ones become 0 here, as in all maps of this tool. The layer is chosen
    as in :class:`.GradCam`.

    Map: (H, W) float32, at least 0, in units of the raw output.

    Source: Draelos and Carin, arXiv 2011.08891.

    Example:
        >>> from adasise_bench.methods.cam.hires_cam import HiResCam
        >>> from adasise_bench.methods.example import explained
        >>> explained(HiResCam(), red=[[0, 2], [0, 6]]).saliency.tolist()  # 1 / 4 times the map of red
        [[0.0, 0.5], [0.0, 1.5]]
    """

    name: Literal["hires_cam"] = "hires_cam"  # type: ignore[assignment]

    def weights(self, maps: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """The gradients themselves: (T, K, h, w) float64."""
        return to_float64(gradients)
