"""Compares the values of one run with those of another, pair by pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adasise_bench.metrics.registry import METRICS, QUALITY

PAIR = ["image_id", "class_name"]
KEY = ["model", "method", *PAIR]
MAPS = "maps_kept"
SPEED = "speed"
VALUES = (*QUALITY, MAPS, "degenerate", "error", "seconds", "forwards", "seconds_plain_forward")
"""Columns of the records that are compared. An error is a text; a pair with an error has no other value."""

Rule = tuple[str, float | None]
"""What a limit holds for (a check, the label of a method, or everything if empty), and the limit."""

TOLERANCES: tuple[Rule, ...] = (("", 0.05), (MAPS, 0.5))
BOUNDS: tuple[Rule, ...] = (
    ("", 0.5), *((name, None) for name in QUALITY if METRICS[name].range.whole), (MAPS, None),
)  # fmt: skip
SLOWER = 10.0

_NAMED = 3
_ROUNDING = 1e-9

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


def compare(base: pd.DataFrame, new: pd.DataFrame, limits: Limits) -> list[Finding]:
    """Make every check of every method on every network that is in either of the two.

    A change for the better fails as well if it is beyond the limits, because it is a change. A gain in speed
    does not fail.

    Args:
        base, new: one row per pair, with :data:`KEY` and :data:`VALUES` as columns; ``class_name`` is empty
            if the annotation could not be used.
        limits: how much values may differ.
    """
    sides = with_equal_keys(base, new)
    made: set[tuple[str, str]] = set()
    for side in sides:
        made |= set(side[["model", "method"]].drop_duplicates().itertuples(index=False, name=None))
    return [
        finding
        for model, method in sorted(made)
        for finding in _Method(model, method, _side_by_side(sides, model, method), limits).findings()
    ]


def with_equal_keys(base: pd.DataFrame, new: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both frames with keys that are categories, the same in both and sorted, so that joining is cheap."""
    base, new = base.copy(deep=False), new.copy(deep=False)
    for name in KEY:
        one, other = base[name].astype("category"), new[name].astype("category")
        categories = one.cat.categories.union(other.cat.categories).sort_values()
        base[name], new[name] = one.cat.set_categories(categories), other.cat.set_categories(categories)
    return base, new


def _side_by_side(sides: Sequence[pd.DataFrame], model: str, method: str) -> pd.DataFrame:
    """The pairs of one method on one network, sorted, with the values of both sides and where they are."""
    base, new = (
        side.loc[(side["model"] == model) & (side["method"] == method), [*PAIR, *VALUES]] for side in sides
    )
    pairs = base.merge(new, how="outer", on=PAIR, suffixes=("_base", "_new"))
    for side in ("base", "new"):
        pairs[f"in_{side}"] = pairs[[f"ebpg_{side}", f"error_{side}"]].notna().any(axis=1)
    return pairs


@dataclass(frozen=True)
class _Method:
    """One method on one network, with its pairs of both runs side by side."""

    model: str
    method: str
    pairs: pd.DataFrame
    limits: Limits

    def findings(self) -> Iterator[Finding]:
        both = self.pairs.dropna(subset=["ebpg_base", "ebpg_new"])
        for metric in QUALITY:
            yield self._quality(metric, both)
        counted = both[both[[f"{MAPS}_base", f"{MAPS}_new"]].notna().any(axis=1)]
        if self.pairs[[f"{MAPS}_base", f"{MAPS}_new"]].notna().any(axis=None):
            yield self._maps(counted)
        yield self._present()
        yield self._errors()
        yield self._degenerate()
        yield self._speed(both)

    def _quality(self, metric: str, both: pd.DataFrame) -> Finding:
        base, new = (both[f"{metric}_{side}"].astype(float) for side in ("base", "new"))
        difference = new - base
        better = None if METRICS[metric].direction is None else METRICS[metric].direction == "up"
        mean = difference.mean()
        word = "" if better is None else " (better)" if (mean > 0) == better else " (worse)"
        return self._judged(metric, base, new, difference, both, word)

    def _maps(self, both: pd.DataFrame) -> Finding:
        base, new = (_lists(both[f"{MAPS}_{side}"]) for side in ("base", "new"))
        kept, kept_now, apart = (
            pd.Series(numbers, index=both.index)
            for numbers in (_sums(base), _sums(new), _maps_apart(base, new))
        )
        return self._judged(MAPS, kept, kept_now, apart, both, "")

    def _judged(
        self,
        check: str,
        base: pd.Series[float],
        new: pd.Series[float],
        difference: pd.Series[float],
        both: pd.DataFrame,
        word: str,
    ) -> Finding:
        in_base = self.pairs[self.pairs["in_base"]]
        if len(in_base) and in_base["error_base"].notna().all():
            return self._finding(check, "skipped", "the base has only errors")
        if both.empty:
            return self._finding(check, "failed", "no pair has a value in both")
        allowed, bound = (_limit(rules, self.method, check) for rules in self.limits[:2])
        mean, at = float(difference.mean(skipna=False)), difference.abs().to_numpy().argmax()
        largest = float(difference.iloc[at])
        reasons = []
        lacking = both[difference.isna()]
        if len(lacking):
            have = "1 pair has" if len(lacking) == 1 else f"{len(lacking)} pairs have"
            reasons.append(f"{have} no value in one of the two: {_names(lacking)}")
        elif _beyond(mean, allowed):
            reasons.append(f"the mean differs by {mean:+.4g}{word}, allowed {allowed:g}")
        if not len(lacking) and _beyond(largest, bound):
            reasons.append(f"{_name(both.iloc[at])} differs by {largest:+.4g}, allowed {bound:g}")
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
            at=_name(both.iloc[at]) if largest else "",
            pairs=len(both),
        )

    def _present(self) -> Finding:
        in_base, in_new = self.pairs["in_base"], self.pairs["in_new"]
        missing = self.pairs[in_base & ~in_new & self.pairs["error_base"].isna()]
        added = self.pairs[in_new & ~in_base]
        empty = self.pairs[~in_new & ~in_base]
        unmade = max(0, (self.limits.planned_pairs or 0) - int(in_base.sum()))
        parts = [
            f"{len(rows)} {word}: {_names(rows)}"
            for rows, word in (
                (missing, "missing"),
                (added, "new"),
                (empty, "without values or an error in both"),
            )
            if len(rows)
        ]
        if unmade:
            parts.append(
                f"the base was made of an unfinished run and lacks {unmade} pair{'' if unmade == 1 else 's'}"
            )
        return self._finding(
            "pairs",
            "failed" if unmade or len(empty) or (len(missing) and not self.limits.partial) else "passed",
            "; ".join(parts),
            base=int(in_base.sum()),
            new=int(in_new.sum()),
            pairs=len(self.pairs),
        )

    def _errors(self) -> Finding:
        base, new = self.pairs["error_base"].notna(), self.pairs["error_new"].notna()
        added = self._turned(base, new)
        reason = f"; {added['error_new'].iloc[0]}" if len(added) else ""
        return self._counted("errors", base, new, added, reason)

    def _degenerate(self) -> Finding:
        base, new = (self.pairs[f"degenerate_{side}"].eq(True) for side in ("base", "new"))
        return self._counted("degenerate", base, new, self._turned(base, new), "")

    def _turned(self, base: pd.Series[bool], new: pd.Series[bool]) -> pd.DataFrame:
        """The pairs of the base for which this is true now and was not before."""
        return self.pairs[new & ~base & self.pairs["in_base"]]

    def _counted(
        self, check: str, base: pd.Series[bool], new: pd.Series[bool], added: pd.DataFrame, reason: str
    ) -> Finding:
        return self._finding(
            check,
            "failed" if len(added) else "passed",
            f"{len(added)} new: {_names(added)}{reason}" if len(added) else "",
            base=int(base.sum()),
            new=int(new.sum()),
            pairs=len(self.pairs),
        )

    def _speed(self, both: pd.DataFrame) -> Finding:
        if self.limits.untimed:
            return self._finding(SPEED, "skipped", self.limits.untimed)
        costs = pd.DataFrame({side: _cost(both, side) for side in ("base", "new")}).dropna()
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
        return Finding(self.model, self.method, check, verdict, detail, **numbers)  # type: ignore[arg-type]


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


def _cost(pairs: pd.DataFrame, side: str) -> pd.Series[float]:
    """How many plain forward passes take as long as an explanation."""
    seconds, plain = (pairs[f"{name}_{side}"].astype(float) for name in ("seconds", "seconds_plain_forward"))
    return seconds / plain


def _name(pair: pd.Series[str]) -> str:
    return f"{pair['image_id']} {pair['class_name']}".strip()


def _names(pairs: pd.DataFrame) -> str:
    named = [_name(pair) for _, pair in pairs.head(_NAMED).iterrows()]
    return ", ".join(named) + (", ..." if len(pairs) > _NAMED else "")
