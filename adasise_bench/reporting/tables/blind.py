"""What one gets on the pairs of a run without looking at the picture."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

_MAPS = {"pixel": "centre pixel", "gaussian": "centre Gaussian"}
"""Image-blind maps whose metrics are in the records, by the middle of the columns' names."""


class Blind(NamedTuple):
    """An image-blind map, and its mean in percent."""

    title: str
    mean: float


def best_blind(chance: pd.DataFrame, metric: str) -> Blind | None:
    """The better of the image-blind maps.

    Args:
        chance: the columns ``chance_*`` of the records, a row for each pair.
        metric: name of the metric.

    Returns:
        ``None`` where no pair has the metric's columns, or some pairs lack them.
    """
    columns = {title: f"chance_{name}_{metric}" for name, title in _MAPS.items()}
    if chance.empty or not set(columns.values()) <= set(chance.columns):
        return None
    if chance[list(columns.values())].isna().any(axis=None):
        return None
    levels = (Blind(title, float(chance[column].mean())) for title, column in columns.items())
    return max(levels, key=lambda level: level.mean)
