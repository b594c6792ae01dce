"""The metrics that a saliency map is judged by, in :data:`METRICS`, and the functions that compute them.

Functions are imported when they are first used, so that the registry can be read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adasise_bench.metrics.registry import METRICS, Metric

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

_MODULES = ("localisation", "faithfulness", "randomisation", "pixels", "pair")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            found = import_module(f"{__name__}.{module}")
            if name in vars(found):
                return vars(found)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
