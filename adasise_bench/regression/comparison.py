"""Compares the values of one run with those of another, pair by pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adasise_bench.metrics.registry import METRICS, QUALITY
from adasise_bench.regression.matching import SIDES, Pairs, Side, matched
from adasise_bench.regression.values import MAPS, Values

SPEED = "speed"

Rule = tuple[str, float | None]
"""What a limit holds for (a check, the label of a method, or everything if empty), and the limit."""

TOLERANCES: tuple[Rule, ...] = (("", 0.05), (MAPS, 0.5))
BOUNDS: tuple[Rule, ...] = (
    ("", 0.5), *((name, None) for name in QUALITY if METRICS[name].range.whole), (MAPS, None),
)  # fmt: skip
SLOWER = 10.0

_ROUNDING = 1e-9
_PAIRS_AT_ONCE = 2**18

Verdict = Literal["passed", "failed", "skipped"]


class Limits(NamedTuple):
    """How much values may differ; ``None`` means that there is no limit.

    If several rules fit a value, the rule for its check is used; without one, the rule for its method;
    without that, the general rule. Of several rules of one kind, the last counts.

    Attributes:
        tolerances: limits of the difference of the means, in percentage points or in feature maps.
        bounds: limits of the difference of any one pair, in the same units.
        slower: by how many percent an explanation may cost more than in the base.
        untimed: the reason why speed is not compared; empty if it is compared.
        partial: whether pairs of the base may be missing.
        planned_pairs: number of pairs that each method was to explain in the base's run, if it had not
            finished.
    """

    tolerances: Sequence[Rule] = TOLERANCES
    bounds: Sequence[Rule] = BOUNDS
    slower: float = SLOWER
    untimed: str = ""
    partial: bool = False
    planned_pairs: int | None = None


@dataclass(frozen=True)
class Finding:
    """The result of one check of one method on one network.

    Attributes:
        check: name of a metric, ``maps_kept``, ``speed``, ``pairs``, ``errors`` or ``degenerate``.
        detail: why it failed or was skipped, or what else a reader should know.
        base, new: means over the pairs that both have, medians (for ``speed``), or counts.
        difference: new minus base. For ``maps_kept``: how many maps more or fewer a pair has on average,
            added up over the blocks. For ``speed``: by how many percent ``new`` is higher.
        allowed: limit of the difference.
        largest, bound: the difference of the pair that differs most, and its limit.
        at: that pair.
        pairs: number of pairs that were compared.
    """

    model: str
    method: str
    check: str
    verdict: Verdict
    detail: str = ""
    base: float | None = None
    new: float | None = None
    difference: float | None = None
    allowed: float | None = None
    largest: float | None = None
    bound: float | None = None
    at: str = ""
    pairs: int = 0


def compare(base: Values, new: Values, limits: Limits) -> list[Finding]:
    """Make every check of every method on every network that is in either of the two.

    A change for the better fails as well if it is beyond the limits, because it is a change. A gain in speed
    does not fail. Of each run, memory holds the keys, and one column of one method at a time.

    Args:
        base, new: the values of two runs.
        limits: how much values may differ.
    """
    return [finding for pairs in matched(base, new) for finding in _Method(pairs, limits).findings()]


@dataclass(frozen=True)
class _Method:
    """One method on one network, with its pairs of both runs side by side."""

    pairs: Pairs
    limits: Limits

    def findings(self) -> Iterator[Finding]:
        for metric in QUALITY:
            yield self._quality(metric)
        if (maps := self._maps()) is not None:
            yield maps
        yield self._present()
        yield self._errors()
        yield self._degenerate()
        yield self._speed()

    @cached_property
    def _failed(self) -> dict[Side, NDArray[np.bool_]]:
        """Which pairs are errors."""
        return {side: self.pairs.column("error", side).notna().to_numpy() for side in SIDES}

    @cached_property
    def _measured(self) -> dict[Side, NDArray[np.bool_]]:
        """Which pairs have values."""
        return {side: self.pairs.column("ebpg", side).notna().to_numpy() for side in SIDES}

    @cached_property
    def _present_in(self) -> dict[Side, NDArray[np.bool_]]:
        """Which pairs have values or an error."""
        return {side: self._failed[side] | self._measured[side] for side in SIDES}

    @cached_property
    def _both(self) -> NDArray[np.bool_]:
        """Which pairs have values in both."""
        return self._measured["base"] & self._measured["new"]

    def _numbers(self, name: str, side: Side) -> pd.Series[float]:
        """A column of one side, for the pairs that have values in both."""
        return self.pairs.column(name, side)[self._both].astype(float)

    def _cost(self, side: Side) -> pd.Series[float]:
        """How many plain forward passes take as long as an explanation."""
        return self._numbers("seconds", side) / self._numbers("seconds_plain_forward", side)

    def _quality(self, metric: str) -> Finding:
        base, new = (self._numbers(metric, side) for side in SIDES)
        difference = new - base
        better = None if METRICS[metric].direction is None else METRICS[metric].direction == "up"
        mean = difference.mean()
        word = "" if better is None else " (better)" if (mean > 0) == better else " (worse)"
        return self._judged(metric, base, new, difference, word)

    def _maps(self) -> Finding | None:
        """The finding for the numbers of maps; ``None`` if no pair has any."""
        found, any_counted = [], False
        for start in range(0, len(self.pairs), _PAIRS_AT_ONCE):
            part = self.pairs.part(start, start + _PAIRS_AT_ONCE)
            columns = [part.column(MAPS, side) for side in SIDES]
            counted = columns[0].notna().to_numpy() | columns[1].notna().to_numpy()
            any_counted |= bool(counted.any())
            counted &= self._both[start : start + _PAIRS_AT_ONCE]
            base, new = (_lists(column[counted]) for column in columns)
            numbers = {"base": _sums(base), "new": _sums(new), "apart": _maps_apart(base, new)}
            found.append(pd.DataFrame(numbers, start + np.flatnonzero(counted)))
        if not any_counted:
            return None
        maps = pd.concat(found)
        return self._judged(MAPS, maps["base"], maps["new"], maps["apart"], "")

    def _judged(
        self,
        check: str,
        base: pd.Series[float],
        new: pd.Series[float],
        difference: pd.Series[float],
        word: str,
    ) -> Finding:
        in_base = self._present_in["base"]
        if in_base.any() and self._failed["base"][in_base].all():
            return self._finding(check, "skipped", "the base has only errors")
        if difference.empty:
            return self._finding(check, "failed", "no pair has a value in both")
        allowed, bound = (_limit(rules, self.pairs.method, check) for rules in self.limits[:2])
        mean, at = float(difference.mean(skipna=False)), int(difference.abs().to_numpy().argmax())
        largest, name = float(difference.iloc[at]), self.pairs.name(difference.index[at])
        reasons = []
        lacking = difference.isna()
        if lacking.any():
            number, chosen = int(lacking.sum()), np.zeros(len(self.pairs), bool)
            chosen[difference.index[lacking]] = True
            have = "1 pair has" if number == 1 else f"{number} pairs have"
            reasons.append(f"{have} no value in one of the two: {self.pairs.first_names(chosen)}")
        elif _beyond(mean, allowed):
            reasons.append(f"the mean differs by {mean:+.4g}{word}, allowed {allowed:g}")
        if not lacking.any() and _beyond(largest, bound):
            reasons.append(f"{name} differs by {largest:+.4g}, allowed {bound:g}")
        return self._finding(
            check,
            "failed" if reasons else "passed",
            "; ".join(reasons),
            base=float(base.mean()),
            new=float(new.mean()),
            difference=mean,
            allowed=allowed,
            largest=largest,
            bound=bound,
            at=name if largest else "",
            pairs=len(difference),
        )

    def _present(self) -> Finding:
        in_base, in_new = (self._present_in[side] for side in SIDES)
        missing = in_base & ~in_new & ~self._failed["base"]
        empty = ~in_new & ~in_base
        unmade = max(0, (self.limits.planned_pairs or 0) - int(in_base.sum()))
        parts = [
            f"{chosen.sum()} {word}: {self.pairs.first_names(chosen)}"
            for chosen, word in (
                (missing, "missing"),
                (in_new & ~in_base, "new"),
                (empty, "without values or an error in both"),
            )
            if chosen.any()
        ]
        if unmade:
            parts.append(
                f"the base was made of an unfinished run and lacks {unmade} pair{'' if unmade == 1 else 's'}"
            )
        refused = bool(missing.any()) and not self.limits.partial
        if refused:
            parts.append("--partial allows pairs to be missing")
        return self._finding(
            "pairs",
            "failed" if unmade or empty.any() or refused else "passed",
            "; ".join(parts),
            base=int(in_base.sum()),
            new=int(in_new.sum()),
            pairs=len(self.pairs),
        )

    def _errors(self) -> Finding:
        added = self._turned(self._failed)
        reason = f"; {self.pairs.column('error', 'new')[added].iloc[0]}" if added.any() else ""
        return self._counted("errors", self._failed, added, reason)

    def _degenerate(self) -> Finding:
        flat = {side: self.pairs.column("degenerate", side).eq(True).to_numpy(bool) for side in SIDES}
        return self._counted("degenerate", flat, self._turned(flat), "")

    def _turned(self, true: dict[Side, NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """The pairs of the base for which this is true now and was not before."""
        return true["new"] & ~true["base"] & self._present_in["base"]

    def _counted(
        self, check: str, true: dict[Side, NDArray[np.bool_]], added: NDArray[np.bool_], reason: str
    ) -> Finding:
        return self._finding(
            check,
            "failed" if added.any() else "passed",
            f"{added.sum()} new: {self.pairs.first_names(added)}{reason}" if added.any() else "",
            base=int(true["base"].sum()),
            new=int(true["new"].sum()),
            pairs=len(self.pairs),
        )

    def _speed(self) -> Finding:
        if self.limits.untimed:
            return self._finding(SPEED, "skipped", self.limits.untimed)
        costs = pd.DataFrame({side: self._cost(side) for side in SIDES}).dropna()
        if costs.empty:
            return self._finding(
                SPEED,
                "skipped",
                "no pair has run-times in both (share_forwards, or a baseline made with --untimed)",
            )
        slower = 100 * (float((costs["new"] / costs["base"]).median()) - 1)
        failed = slower > self.limits.slower + _ROUNDING
        return self._finding(
            SPEED,
            "failed" if failed else "passed",
            f"{slower:.1f} % slower, measured in plain forward passes, allowed {self.limits.slower:g} %"
            if failed
            else "",
            base=float(costs["base"].median()),
            new=float(costs["new"].median()),
            difference=slower,
            allowed=self.limits.slower,
            pairs=len(costs),
        )

    def _finding(
        self, check: str, verdict: Verdict, detail: str, **numbers: float | int | str | None
    ) -> Finding:
        return Finding(self.pairs.model, self.pairs.method, check, verdict, detail, **numbers)  # type: ignore[arg-type]


def _limit(rules: Sequence[Rule], method: str, check: str) -> float | None:
    specific = ("", method, check)
    fitting = [(specific.index(name), limit) for name, limit in rules if name in specific]
    most = max(place for place, _ in fitting)
    return [limit for place, limit in fitting if place == most][-1]


def _beyond(difference: float, limit: float | None) -> bool:
    return limit is not None and not abs(difference) <= limit + _ROUNDING


def _lists(maps: pd.Series[Any]) -> pa.ListArray:
    """Lists of numbers as one array of Arrow, null where there is none."""
    array = pa.array(maps, pa.list_(pa.int64()), from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _sums(lists: pa.ListArray) -> NDArray[np.float64]:
    """The sum of each list, NaN for null, (lists,)."""
    return _sums_of_pieces(lists.flatten().to_numpy(), _lengths(lists))


def _lengths(lists: pa.ListArray) -> NDArray[np.float64]:
    """The length of each list, NaN for null, (lists,)."""
    lengths: NDArray[np.float64] = (
        pc.list_value_length(lists).cast(pa.float64()).to_numpy(zero_copy_only=False)
    )
    return lengths


def _sums_of_pieces(numbers: NDArray[np.int64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums of pieces of these lengths, which follow each other; NaN where the length is NaN."""
    ends = np.nan_to_num(lengths).astype(np.int64).cumsum()
    up_to = np.concatenate([[0], numbers.cumsum()])
    return np.where(np.isnan(lengths), np.nan, np.diff(up_to[ends], prepend=0))


def _maps_apart(one: pa.ListArray, other: pa.ListArray) -> NDArray[np.float64]:
    """How many maps more or fewer each selection has than the other one, added up over the blocks, (lists,).

    Infinite if the numbers of blocks differ, and NaN if only one of the two counted maps.
    """
    lengths, others = _lengths(one), _lengths(other)
    apart = np.where(np.isnan(lengths) | np.isnan(others), np.nan, np.inf)
    equal = lengths == others
    first, second = (lists.filter(pa.array(equal)).flatten().to_numpy() for lists in (one, other))
    apart[equal] = _sums_of_pieces(np.abs(first - second), lengths[equal])
    return apart
