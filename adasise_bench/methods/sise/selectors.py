"""Selects the feature maps of a block that become masks, by a threshold on their normalised gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch

SelectorName = Literal["fixed", "printed", "otsu", "log-otsu"]


def normalized(gradients: torch.Tensor) -> torch.Tensor:
    """v_k = σ_k / ρ with ρ = max σ (SISE, section on feature selection).

    Args:
        gradients: (K,) float64 summed gradients σ.

    Returns:
        (K,) float64, at most 1; all zero when no gradient is positive.

    Example:
        >>> from adasise_bench.methods.sise.selectors import normalized
        >>> normalized(torch.tensor([2.0, -1.0, 4.0])).tolist()
        [0.5, -0.25, 1.0]
    """
    largest = gradients.max()
    return torch.where(largest > 0, gradients / largest, torch.zeros_like(gradients))


def threshold(values: torch.Tensor, selector: SelectorName, mu: float = 0.0) -> float:
    """The threshold μ of a block. Maps with v > μ are kept.

    Args:
        values: (K,) float64 normalised gradients v, on the CPU.
        selector: ``fixed`` gives ``mu`` (SISE: 0); ``printed`` is Ada-SISE's criterion as printed,
            for the lower half of the values; ``otsu`` is Otsu's criterion on the positive values, and
            ``log-otsu`` the same on their logarithms.
        mu: the fixed threshold, in [0, 1).

    Returns:
        μ in [0, 1). In two cases the adaptive selectors give 0, and so keep all maps with positive values:
        where there are only one or two of them, and where no value is above the threshold because the highest
        are equal.

    Example:
        >>> from adasise_bench.methods.sise.selectors import threshold
        >>> values = torch.tensor([0.1, 0.2, 0.9, 1.0], dtype=torch.float64)
        >>> threshold(values, "fixed"), threshold(values, "otsu")  # splits between 0.2 and 0.9
        (0.0, 0.2)
    """
    if selector == "fixed":
        return mu
    positive = values[values > 0].sort().values
    if len(positive) <= 2:
        return 0.0
    chosen = float(positive[_CRITERIA[selector](positive).argmax()])
    return chosen if float(positive[-1]) > chosen else 0.0


def printed_criterion(ascending: torch.Tensor) -> torch.Tensor:
    """Ada-SISE's criterion τ(i) (arXiv 2102.07799, equations 1 to 6) as it is printed, for 1 ≤ i < n/2.

    τ(i) is ω_L ω_H ((n-2i)/n)². Here ω_L is n times the mean of the i smallest values, and ω_H is
    n · (sum of elements i..n) / (n-i). The printed expression makes no sense beyond n/2: for i = n it divides
    by zero, and otherwise i = n-1 wins, so that at most one map is left.

    Args:
        ascending: (n,) float64 positive values in ascending order, n ≥ 3.

    Returns:
        (ceil(n/2) - 1,) float64: τ(1), τ(2), ...

    Example:
        >>> from adasise_bench.methods.sise.selectors import printed_criterion
        >>> values = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        >>> printed_criterion(values).tolist()  # (3 * 1) times (3 * 6 / 2) times (1 / 3)²
        [3.0]
    """
    n = len(ascending)
    i = torch.arange(1, (n + 1) // 2, dtype=torch.float64)
    below = ascending.cumsum(0)[: len(i)]
    from_i = ascending.flip(0).cumsum(0).flip(0)[: len(i)]
    return (n * below / i) * (n * from_i / (n - i)) * ((n - 2 * i) / n) ** 2


def otsu_criterion(ascending: torch.Tensor) -> torch.Tensor:
    """Otsu's criterion (1979): the between-class variance of a split behind the i-th smallest value.

    Args:
        ascending: (n,) float64 values in ascending order, n ≥ 2.

    Returns:
        (n-1,) float64, for i = 1..n-1.

    Example:
        >>> from adasise_bench.methods.sise.selectors import otsu_criterion
        >>> otsu_criterion(torch.tensor([1.0, 3.0], dtype=torch.float64)).tolist()  # ½ times ½ times (1 - 3)²
        [1.0]
    """
    n = len(ascending)
    i = torch.arange(1, n, dtype=torch.float64)
    below = ascending.cumsum(0)[:-1]
    above = ascending.flip(0).cumsum(0).flip(0)[1:]
    return (i / n) * (1 - i / n) * (below / i - above / (n - i)) ** 2


_CRITERIA: Mapping[SelectorName, Callable[[torch.Tensor], torch.Tensor]] = {
    "printed": printed_criterion,
    "otsu": otsu_criterion,
    "log-otsu": lambda ascending: otsu_criterion(ascending.log()),
}
"""What the adaptive selectors maximise, of a block's positive values in ascending order."""
