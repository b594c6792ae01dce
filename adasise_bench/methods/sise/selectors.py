"""Which feature maps of a block become masks: thresholds on their normalised summed gradients."""

from __future__ import annotations

from typing import Literal

import torch

SelectorName = Literal["fixed", "printed", "otsu"]


def normalized(gradients: torch.Tensor) -> torch.Tensor:
    """v_k = σ_k / ρ with ρ = max σ (SISE, section on feature selection).

    Args:
        gradients: (K,) float64 summed gradients σ.

    Returns:
        (K,) float64, at most 1; all zero when no gradient is positive.
    """
    largest = gradients.max()
    return torch.where(largest > 0, gradients / largest, torch.zeros_like(gradients))


def threshold(values: torch.Tensor, selector: SelectorName, mu: float = 0.0) -> float:
    """The threshold μ; maps with v > μ are kept.

    Args:
        values: (K,) float64 normalised gradients v, on the CPU.
        selector: ``fixed`` gives ``mu`` (SISE: 0); ``printed`` is Ada-SISE's criterion as printed,
            restricted to its lower lobe; ``otsu`` is Otsu's criterion on the values.
        mu: the fixed threshold, in [0, 1).

    Returns:
        μ in [0, 1). The adaptive selectors keep all positive values (μ = 0) where there are only one or
        two of them, or where nothing would be above the threshold because the highest are equal.
    """
    if selector == "fixed":
        return mu
    positive = values[values > 0].sort().values
    if len(positive) <= 2:
        return 0.0
    criterion = printed_criterion(positive) if selector == "printed" else otsu_criterion(positive)
    chosen = float(positive[criterion.argmax()])
    return chosen if float(positive[-1]) > chosen else 0.0


def printed_criterion(ascending: torch.Tensor) -> torch.Tensor:
    """τ(i) of Ada-SISE (arXiv 2102.07799, eqs 1-6) as printed, for 1 ≤ i < n/2.

    τ(i) = ω_L ω_H ((n-2i)/n)² with ω_L = n · mean of the i smallest and
    ω_H = n · (sum of elements i..n) / (n-i). Beyond n/2 the printed expression degenerates: i = n
    divides by zero and i = n-1 wins otherwise, so that at most one map survives.

    Args:
        ascending: (n,) float64 positive values in ascending order, n ≥ 3.

    Returns:
        (ceil(n/2) - 1,) float64, τ(1), τ(2), ...
    """
    n = len(ascending)
    i = torch.arange(1, (n + 1) // 2, dtype=torch.float64)
    below = ascending.cumsum(0)[: len(i)]
    from_i = ascending.flip(0).cumsum(0).flip(0)[: len(i)]
    return (n * below / i) * (n * from_i / (n - i)) * ((n - 2 * i) / n) ** 2


def otsu_criterion(ascending: torch.Tensor) -> torch.Tensor:
    """Between-class variance of splitting after the i-th smallest value, for i = 1..n-1 (Otsu 1979).

    Args:
        ascending: (n,) float64 values in ascending order, n ≥ 2.

    Returns:
        (n-1,) float64.
    """
    n = len(ascending)
    i = torch.arange(1, n, dtype=torch.float64)
    below = ascending.cumsum(0)[:-1]
    above = ascending.flip(0).cumsum(0).flip(0)[1:]
    return (i / n) * (1 - i / n) * (below / i - above / (n - i)) ** 2
