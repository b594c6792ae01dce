"""The readings of Ada-SISE's criterion against plain definitions, and the script on drawn scenes."""

from __future__ import annotations

import importlib.util
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]

Values = list[float]
mean = statistics.fmean


def load() -> ModuleType:
    """scripts/selector_readings.py as a module."""
    spec = importlib.util.spec_from_file_location("selector_readings", ROOT / "scripts/selector_readings.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


readings = load()

Tau = Callable[[Values, Values, Values, int], float]
"""A criterion of the lower class, the upper class, elements i..n, and n."""


def printed(low: Values, high: Values, from_i: Values, n: int) -> float:
    return n * mean(low) * (n * sum(from_i) / len(high)) * (len(high) - len(low)) ** 2 / n**2


def otsu(low: Values, high: Values, _: Values, n: int) -> float:
    return len(low) / n * len(high) / n * (mean(low) - mean(high)) ** 2


def best(values: Sequence[float], tau: Tau, *, half: bool = False) -> int:
    """The number of elements of the lower class whose criterion is the highest, the first of equal ones."""
    values, n = list(values), len(values)
    found = {i: tau(values[:i], values[i:], values[i - 1 :], n) for i in range(1, n) if not half or i < n / 2}
    return max(found, key=lambda i: found[i])


def at(values: Sequence[float], tau: Tau, *, half: bool = False) -> float:
    return list(values)[best(values, tau, half=half) - 1]


def in_bins(values: Values, bins: int) -> Values:
    """Centres of equal bins between the lowest and the highest value."""
    width = (max(values) - min(values)) / bins
    return [min(values) + (min(int((v - min(values)) / width), bins - 1) + 0.5) * width for v in values]


def histogram_otsu(values: Values, bins: int) -> float:
    """The centre of the bin behind which the classes, made of bins' centres, differ most."""
    centres = in_bins(values, bins)
    candidates = {}
    for cut in sorted(set(centres))[:-1]:
        low, high = [c for c in centres if c <= cut], [c for c in centres if c > cut]
        candidates[cut] = otsu(low, high, [], len(centres))
    return max(candidates, key=lambda cut: candidates[cut])


def otsu_repeated(values: Values, times: int) -> float:
    if len(values) < 3:
        return 0.0
    cut = at(values, otsu)
    return cut if times == 0 else otsu_repeated([v for v in values if v <= cut], times - 1)


def half(tau: Tau) -> Callable[[Values], float]:
    return lambda values: at(sorted(v for v in values if v > 0), tau, half=True)


def of_positive(rule: Callable[[Values], float]) -> Callable[[Values], float]:
    return lambda values: rule(sorted(v for v in values if v > 0))


def magnitudes(values: Values) -> Values:
    return sorted(abs(v) for v in values)


def logs(values: Values) -> Values:
    return [math.log(v) for v in values]


def above_least(values: Values) -> Values:
    return [math.log(v / values[0]) for v in values]


PLAIN: dict[str, Callable[[Values], float]] = {
    "printed, i < n/2 (`printed`)": half(printed),
    "printed, all i": of_positive(lambda v: at(v, printed)),
    "printed, the set not sorted, all i": lambda v: at([x for x in v if x > 0], printed),
    "printed, the set not sorted, i < n/2": lambda v: at([x for x in v if x > 0], printed, half=True),
    "printed, the set descending, i < n/2": of_positive(lambda v: at(v[::-1], printed, half=True)),
    "printed, the threshold is i/n": of_positive(lambda v: best(v, printed, half=True) / len(v)),
    "printed, on the absolute gradients of the block": lambda v: at(magnitudes(v), printed, half=True),
    "printed, on the logarithms' distance from the least": of_positive(
        lambda v: v[best(above_least(v), printed, half=True) - 1]
    ),
    **{
        f"printed, on {n} bins": of_positive(lambda v, n=n: at(in_bins(v, n), printed, half=True))
        for n in (16, 64, 256)
    },
    "roles: upper class without element i": half(
        lambda low, high, f, n: mean(low) * mean(high) * (n - 2 * len(low)) ** 2
    ),
    "roles: upper class divided by n - i + 1": half(
        lambda low, high, f, n: mean(low) * mean(f) * (n - 2 * len(low)) ** 2
    ),
    "roles: sums of the classes instead of means": half(
        lambda low, high, f, n: sum(low) * sum(high) * (n - 2 * len(low)) ** 2
    ),
    "roles: sizes of the classes instead of means": half(
        lambda low, high, f, n: len(low) * len(high) * (n - 2 * len(low)) ** 2
    ),
    "roles: difference of the sizes not squared": half(
        lambda low, high, f, n: mean(low) * sum(f) / len(high) * abs(len(high) - len(low))
    ),
    "roles: product of the means only": half(lambda low, high, f, n: mean(low) * sum(f) / len(high)),
    "roles: means as sizes and as means": half(
        lambda low, high, f, n: mean(low) * mean(high) * (mean(low) - mean(high)) ** 2
    ),
    "roles: sums as sizes, difference of the means": half(
        lambda low, high, f, n: sum(low) * sum(high) * (mean(low) - mean(high)) ** 2
    ),
    "roles: sizes, difference of the sums": half(
        lambda low, high, f, n: len(low) * len(high) * (sum(low) - sum(high)) ** 2
    ),
    "roles: difference of the means only": half(lambda low, high, f, n: abs(mean(low) - mean(high))),
    "roles: Otsu's, i < n/2": half(otsu),
    "Otsu, exact (`otsu`)": of_positive(lambda v: at(v, otsu)),
    **{f"Otsu, {n} bins": of_positive(lambda v, n=n: histogram_otsu(v, n)) for n in (16, 64, 256)},
    "Otsu, the threshold is i/n": of_positive(lambda v: best(v, otsu) / len(v)),
    "Otsu on the logarithm (`log-otsu`)": of_positive(lambda v: math.exp(at(logs(v), otsu))),
    "Otsu on the logarithm, 256 bins": of_positive(lambda v: math.exp(histogram_otsu(logs(v), 256))),
    "Otsu on the square root": of_positive(lambda v: v[best([x**0.5 for x in v], otsu) - 1]),
    "Otsu, again on the lower class": of_positive(lambda v: otsu_repeated(v, 1)),
    "Otsu, again on the lower class, twice": of_positive(lambda v: otsu_repeated(v, 2)),
    "Otsu, again on the lower class, three times": of_positive(lambda v: otsu_repeated(v, 3)),
    "Otsu on all gradients of the block": lambda v: at(sorted(v), otsu),
    "Otsu on the absolute gradients of the block": lambda v: at(magnitudes(v), otsu),
    **{f"fixed, mu {mu:g}": lambda v, mu=mu: mu for mu in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)},
    "mean": of_positive(mean),
    "half of the mean": of_positive(lambda v: mean(v) / 2),
    "median": of_positive(statistics.median),
    "geometric mean": of_positive(statistics.geometric_mean),
    "mean minus deviation": of_positive(lambda v: mean(v) - statistics.pstdev(v)),
    "mean of all gradients of the block": mean,
    "lowest element": of_positive(min),
    "highest element": of_positive(max),
}
"""Readings of one block at a time, in loops."""

CLASSES = {"Otsu, three classes, lowest": 3, "Otsu, four classes, lowest": 4}
TOGETHER = {
    "printed, one threshold for all blocks": half(printed),
    "Otsu, one threshold for all blocks": PLAIN["Otsu, exact (`otsu`)"],
}
FOREIGN = {"triangle", "Li", "Yen", "isodata"}


def drawn(seed: int, count: int = 40) -> NDArray[np.float64]:
    """Gradients of both signs, of which the highest is 1."""
    random = np.random.default_rng(seed)
    values = random.lognormal(0, 1, count) * random.choice([-1, 1], count)
    values[0] = abs(values).max() + 0.5
    return np.asarray(values / values[0])


def kept(values: Sequence[float], mu: float) -> list[bool]:
    return [value > max(mu, 0) + 1e-12 for value in values]


def test_every_reading_has_a_definition_here() -> None:
    assert set(readings.READINGS) == {*PLAIN, *CLASSES, *TOGETHER, *FOREIGN}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("title", PLAIN)
def test_readings_are_what_loops_find(title: str, seed: int) -> None:
    blocks = [drawn(seed), drawn(seed + 100, 31)]
    for block, mu in zip(blocks, readings.READINGS[title](blocks), strict=True):
        assert mu == pytest.approx(PLAIN[title](block.tolist()), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("title", TOGETHER)
def test_one_threshold_is_found_from_all_blocks(title: str) -> None:
    blocks = [drawn(1), drawn(2, 25)]
    together = TOGETHER[title](np.concatenate(blocks).tolist())
    assert readings.READINGS[title](blocks) == pytest.approx([together, together])


@pytest.mark.parametrize("title", CLASSES)
def test_several_classes_are_those_that_differ_most(title: str) -> None:
    """Well separated groups are found by any correct criterion."""
    groups = [0.02, 0.3, 0.6, 0.95][4 - CLASSES[title] :]
    block = np.concatenate([level + np.linspace(-0.0005, 0.0005, 9) for level in groups])
    (mu,) = readings.READINGS[title]([block])
    assert kept(block, mu) == [False] * 9 + [True] * 9 * (len(groups) - 1)


def test_li_is_a_fixed_point_and_yen_the_best_of_all_bins() -> None:
    block = drawn(5, 200)
    positive = block[block > 0]
    (li,), (yen,) = (readings.READINGS[name]([block]) for name in ("Li", "Yen"))
    shifted = positive - positive.min()  # scikit-image counts from the lowest value
    low, high = shifted[positive <= li].mean(), shifted[positive > li].mean()
    assert li - positive.min() == pytest.approx((high - low) / math.log(high / low), abs=1e-4)
    counts, edges = np.histogram(positive, 256)
    shares = counts / counts.sum()
    criterion = [
        math.log((shares[: k + 1].sum() * shares[k + 1 :].sum()) ** 2)
        - math.log((shares[: k + 1] ** 2).sum() * (shares[k + 1 :] ** 2).sum())
        for k in range(255)
    ]
    at_best = int(np.argmax(criterion))
    assert edges[at_best] <= yen <= edges[at_best + 1]


def test_isodata_and_triangle_by_their_geometry() -> None:
    block = drawn(6, 300)
    positive = block[block > 0]
    (isodata,), (triangle,) = (readings.READINGS[name]([block]) for name in ("isodata", "triangle"))
    middle = (positive[positive <= isodata].mean() + positive[positive > isodata].mean()) / 2
    assert isodata == pytest.approx(middle, abs=2 * np.ptp(positive) / 256)
    counts, edges = np.histogram(positive, 256)
    peak = int(counts.argmax())
    # The bin farthest below the line from the highest bin to the end of the longer tail.
    x = np.arange(peak, 256)
    line = counts[peak] + (counts[-1] - counts[peak]) * (x - peak) / (255 - peak)
    farthest = peak + int((line - counts[peak:]).argmax())
    assert abs(triangle - (edges[farthest] + edges[farthest + 1]) / 2) <= 2 * np.ptp(positive) / 256


def test_one_or_two_positive_maps_are_kept_and_none_stays_none() -> None:
    blocks = [np.array([0.5, 1.0, -1.0]), np.array([-1.0, -2.0]), drawn(3)]
    for reading in readings.READINGS.values():
        counts, positive = readings.kept_and_positive(reading, blocks)
        assert counts[:2] == positive[:2] == [2, 0]
        assert 0 <= counts[2] <= positive[2]


def test_the_table_has_the_papers_shares_and_the_largest_error_first() -> None:
    assert readings.published_shares().round(3).tolist() == [0.839, 0.877, 0.683, 0.816, 0.547]
    found = readings.table([[drawn(seed * 5 + block, 64) for block in range(5)] for seed in range(3)])
    assert found["largest error"].is_monotonic_increasing
    rows = found.set_index("reading")
    shares = rows.loc["median", ["p1", "p2", "p3", "p4", "p5"]]
    assert np.abs(shares.to_numpy(float) - 0.5).max() < 0.02
    assert rows.loc["median", "largest error"] == pytest.approx(
        np.abs(shares - readings.published_shares()).max()
    )


def test_the_script_resumes_and_refuses_other_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["--config", str(ROOT / "configs/quickstart.yaml"), "--model", "scenes_vgg", "--limit", "2",
               "--output", str(tmp_path)]  # fmt: skip
    first = CliRunner().invoke(readings.main, command, catch_exceptions=False)
    assert first.exit_code == 0
    files = sorted((tmp_path / "gradients").glob("*.npy"))
    assert len(files) == 2
    monkeypatch.setattr(readings, "_of_picture", lambda *_: pytest.fail("computed again"))
    again = CliRunner().invoke(readings.main, command, catch_exceptions=False)
    assert again.output.splitlines()[-60:] == first.output.splitlines()[-60:]
    other = CliRunner().invoke(readings.main, [*command, "--set", "score=sigmoid"])
    assert "gradients of other weights" in str(other.exception)


def test_the_gradients_are_those_that_the_tool_selects_by(tmp_path: Path) -> None:
    """The default reading keeps as many maps as Ada-SISE's records say."""
    from adasise_bench.records.reading import read_records
    from adasise_bench.run.config_file import load_config
    from adasise_bench.run.runner import run

    config = load_config(ROOT / "configs/quickstart.yaml", ["limit=2"], [], ["ada_sise"])
    run(config, tmp_path / "run")
    records = read_records(tmp_path / "run")
    pairs = list(readings.gradients(config, next(iter(config.models)), tmp_path / "gradients"))
    reading = readings.READINGS["printed, i < n/2 (`printed`)"]
    found = [readings.kept_and_positive(reading, blocks) for blocks in pairs]
    assert [kept for kept, _ in found] == [list(kept) for kept in records["maps_kept"]]
    assert [positive for _, positive in found] == [list(counts) for counts in records["maps_positive"]]
