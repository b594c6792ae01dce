"""LayerCAM (Jiang et al. 2021): every position of a map is weighted by its positive gradient."""

from __future__ import annotations

from typing import Literal

import torch

from adasise_bench.methods.cam.grad_cam import GradCam
from adasise_bench.utils.devices import to_float64


class LayerCam(GradCam):
    """LayerCAM: L = ReLU(Σ_k ReLU(∂y/∂A_k) ⊙ A_k).

    It is meant for layers of any depth; name a shallow one with ``layer`` for a finer map. By default it is
    the last block's, as in :class:`.GradCam`. The paper also fuses the maps of several layers, which is not
    done here.

    Map: (H, W) float32, at least 0, in units of the raw output.

    Source: Jiang et al., IEEE Transactions on Image Processing 30, 2021.

    Example:
        >>> from adasise_bench.methods.cam.layer_cam import LayerCam
        >>> from adasise_bench.methods.example import explained
        >>> explained(LayerCam(), red=[[0, 2], [0, 6]]).saliency.tolist()  # 1 / 4 times the map of red
        [[0.0, 0.5], [0.0, 1.5]]
    """

    name: Literal["layer_cam"] = "layer_cam"  # type: ignore[assignment]

    def weights(self, maps: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
        """The positive gradients: (T, K, h, w) float64."""
        return to_float64(gradients).clamp(min=0)
