"""The metrics that a saliency map is judged by, in :data:`METRICS`, and the functions that compute them.

Functions are imported when they are first used, so that the registry can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adasise_bench.metrics.registry import METRICS, Metric
from adasise_bench.utils.faces import offers

if TYPE_CHECKING:
    from adasise_bench.metrics.faithfulness import (
        average_gain,
        deletion,
        drop,
        increase,
        insertion,
        shown_part,
    )
    from adasise_bench.metrics.localisation import bbox, ebpg, miou, pointing
    from adasise_bench.metrics.pair import Pair, compute
    from adasise_bench.metrics.pixels import is_degenerate
    from adasise_bench.metrics.randomisation import head_sensitivity

__all__ = [
    "METRICS",
    "Metric",
    "Pair",
    "average_gain",
    "bbox",
    "compute",
    "deletion",
    "drop",
    "ebpg",
    "head_sensitivity",
    "increase",
    "insertion",
    "is_degenerate",
    "miou",
    "pointing",
    "shown_part",
]

__getattr__ = offers(
    __name__,
    dict.fromkeys(("bbox", "ebpg", "miou", "pointing"), "localisation")
    | dict.fromkeys(
        ("average_gain", "deletion", "drop", "increase", "insertion", "shown_part"), "faithfulness"
    )
    | {"head_sensitivity": "randomisation", "is_degenerate": "pixels", "Pair": "pair", "compute": "pair"},
)
