"""Intervals over images: against a plain loop, by coverage, and by what must not change them."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adasise_bench.reporting import statistics
from adasise_bench.reporting.statistics import MINIMUM_IMAGES, Estimate, estimate_means, paired_differences


def frame(rows: list[tuple[str, str, float]], name: str = "x") -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples([row[:2] for row in rows], names=["image_id", "class_name"])
    return pd.DataFrame({name: [row[2] for row in rows]}, index=index)


def clustered(rng: np.random.Generator, images: int) -> list[tuple[str, str, float]]:
    """Skewed values around 5, 1 to 4 per image, alike within an image."""
    rows = []
    for image in range(images):
        level = rng.gamma(4.0)
        for pair in range(rng.integers(1, 5)):
            rows.append((f"{image:04}", str(pair), level + rng.normal(1.0, 0.3)))
    return rows


def estimate(rows: list[tuple[str, str, float]]) -> Estimate:
    return estimate_means(frame(rows))["x"]


def bounds(found: Estimate) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


ROWS = st.integers(0, 2**32 - 1).map(lambda seed: clustered(np.random.default_rng(seed), 11))


def test_a_plain_loop_finds_the_same_interval() -> None:
    rows = clustered(np.random.default_rng(4), 40)
    by_image: dict[str, list[float]] = {}
    for image, _, value in rows:
        by_image.setdefault(image, []).append(value)
    clusters = list(by_image.values())
    rng = np.random.default_rng(99)
    means = []
    for _ in range(4000):
        drawn = [value for k in rng.integers(0, len(clusters), len(clusters)) for value in clusters[k]]
        means.append(sum(drawn) / len(drawn))
    found = estimate(rows)
    assert found.mean == pytest.approx(sum(value for *_, value in rows) / len(rows))
    assert (found.pairs, found.images) == (len(rows), 40)
    assert bounds(found) == pytest.approx(
        tuple(np.percentile(means, [2.5, 97.5])), abs=0.04 * np.std(means) * 4
    )


def test_intervals_cover_the_truth_where_intervals_over_pairs_do_not() -> None:
    rng = np.random.default_rng(0)
    images, trials, truth = 60, 500, 5.0
    of_image = np.repeat(np.arange(images), rng.integers(1, 5, images))
    levels = rng.gamma(4.0, size=(images, trials))
    values = levels[of_image] + rng.normal(1.0, 0.3, (len(of_image), trials))

    def coverage(clusters: np.ndarray) -> float:
        index = pd.MultiIndex.from_arrays(
            [clusters, np.arange(len(clusters))], names=["image_id", "class_name"]
        )
        found = map(bounds, estimate_means(pd.DataFrame(values, index)).values())
        return float(np.mean([low <= truth <= high for low, high in found]))

    assert 0.91 <= coverage(of_image) <= 0.98
    assert coverage(np.arange(len(of_image))) < 0.85


@settings(deadline=None, max_examples=25)
@given(ROWS, st.randoms())
def test_the_order_of_rows_changes_nothing(rows: list[tuple[str, str, float]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert estimate(shuffled) == estimate(rows)


@settings(deadline=None, max_examples=25)
@given(ROWS, st.floats(-1000, 1000), st.floats(0.01, 100))
def test_the_interval_holds_the_mean_and_moves_with_the_values(
    rows: list[tuple[str, str, float]], shift: float, factor: float
) -> None:
    found = estimate(rows)
    low, high = bounds(found)
    values = [value for *_, value in rows]
    assert min(values) <= low <= found.mean <= high <= max(values)  # type: ignore[operator]
    moved = estimate([(image, pair, factor * value + shift) for image, pair, value in rows])
    assert bounds(moved) == pytest.approx((factor * low + shift, factor * high + shift), rel=1e-9, abs=1e-9)


def test_columns_do_not_influence_each_other() -> None:
    rng = np.random.default_rng(1)
    rows = clustered(rng, 30)
    values = frame(rows, "a")
    values["b"] = rng.normal(size=len(values))
    values["c"] = values["a"].where(rng.random(len(values)) < 0.6)
    together = estimate_means(values)
    for column in values.columns:
        alone = estimate_means(values[[column]])[column]
        assert bounds(together[column]) == pytest.approx(bounds(alone), rel=1e-12)
    present = values["c"].dropna()
    assert together["c"].pairs == len(present)
    assert together["c"].images == present.index.get_level_values("image_id").nunique()


@pytest.mark.parametrize("images", [0, 1, 2, MINIMUM_IMAGES - 1])
def test_few_images_have_a_mean_and_no_interval(images: int) -> None:
    found = estimate_means(frame([(str(k), "a", float(k)) for k in range(images)] + [("z", "a", math.nan)]))[
        "x"
    ]
    assert (found.mean is None) == (images == 0)
    assert found.low is found.high is None
    assert found.images == images


@pytest.mark.parametrize("pair_values", [[0.1], [0.0, 100.0], [1e-9, 3e-9]])
def test_images_that_do_not_differ_have_no_interval(pair_values: list[float]) -> None:
    rows = [(f"{image:02}", str(k), value) for image in range(20) for k, value in enumerate(pair_values)]
    rows += [(image, f"again {pair}", value) for image, pair, value in rows if image < "07"]
    found = estimate(rows)
    assert found.mean == pytest.approx(sum(pair_values) / len(pair_values))
    assert found.low is found.high is None


def test_many_images_stay_within_memory_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = clustered(np.random.default_rng(2), 50)
    whole = estimate(rows)
    monkeypatch.setattr(statistics, "_DRAWN_AT_ONCE", 2000)
    assert bounds(estimate(rows)) == pytest.approx(bounds(whole), rel=1e-12)


def test_differences_are_narrower_than_their_parts_and_need_both_values() -> None:
    rng = np.random.default_rng(3)
    values = frame(clustered(rng, 50), "sise")
    values["ada_sise"] = values["sise"] + rng.normal(0.1, 0.05, len(values))
    values.iloc[0, 1] = math.nan
    values.iloc[1, 0] = math.nan
    differences = paired_differences(values, "sise")
    assert list(differences.columns) == ["ada_sise"]
    found = estimate_means(differences)["ada_sise"]
    assert found.pairs == len(values) - 2
    low, high = bounds(found)
    assert 0 < low < 0.1 < high
    own_low, own_high = bounds(estimate_means(values)["ada_sise"])
    assert high - low < (own_high - own_low) / 5


def test_the_average_over_classes_by_hand() -> None:
    rows = [
        ("1", "cat", 100.0),
        ("2", "cat", 0.0),
        ("3", "cat", 0.0),
        ("3", "dog", 100.0),
        ("4", "cow", math.nan),
    ]
    found = estimate_means(frame(rows), "classes")["x"]
    assert found.mean == pytest.approx((100 / 3 + 100) / 2)
    assert (found.pairs, found.images) == (4, 3)
    assert estimate_means(frame(rows))["x"].mean == 50


def test_a_plain_loop_finds_the_same_interval_over_classes() -> None:
    rng = np.random.default_rng(8)
    rows = [
        (f"{image:02}", name, rng.gamma(2.0) + 3 * "abcd".index(name))
        for image in range(40)
        for name in "abcd"[: 1 + image % 4 if image % 5 else 1]
    ]
    by_image: dict[str, list[tuple[str, float]]] = {}
    for image, name, value in rows:
        by_image.setdefault(image, []).append((name, value))
    clusters, means = list(by_image.values()), []
    for _ in range(4000):
        values: dict[str, list[float]] = {}
        for index in rng.integers(0, 40, 40):
            for name, value in clusters[index]:
                values.setdefault(name, []).append(value)
        means.append(np.mean([np.mean(of_class) for of_class in values.values()]))
    found = estimate_means(frame(rows), "classes")["x"]
    assert found.mean == pytest.approx(
        np.mean([np.mean([value for _, name, value in rows if name == one]) for one in "abcd"])
    )
    assert bounds(found) == pytest.approx(
        tuple(np.percentile(means, [2.5, 97.5])), abs=0.04 * np.std(means) * 4
    )


@settings(deadline=None, max_examples=10)
@given(ROWS)
def test_of_one_class_both_averages_are_one(rows: list[tuple[str, str, float]]) -> None:
    values = frame(rows)
    one = values.rename(index=lambda _: "dog", level="class_name")
    assert estimate_means(one, "classes") == estimate_means(values)


def test_a_class_in_few_images_weighs_as_much_as_others() -> None:
    rows = [(f"{image:02}", "common", 0.0) for image in range(30)] + [("07", "rare", 100.0)]
    assert estimate_means(frame(rows), "classes")["x"].mean == 50
    assert estimate_means(frame(rows), "classes")["x"].low is None


def totals_of(images: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of a skewed metric, one of zeros and hundreds, and one that is rarely not 0."""
    rng = np.random.default_rng(8)
    of_image = np.repeat(np.arange(images), rng.integers(1, 4, images))
    pairs = len(of_image)
    values = np.stack(
        [
            rng.gamma(4.0, size=images)[of_image] + rng.normal(size=pairs),
            100.0 * (rng.random(pairs) < 0.3),
            100.0 * (rng.random(pairs) < 0.01),
        ],
        axis=1,
    )
    sums = np.stack([np.bincount(of_image, column) for column in values.T], axis=1)
    counts = np.repeat(np.bincount(of_image).astype(float)[:, None], 3, axis=1)
    return sums[:, None], counts[:, None]


def test_ends_in_blocks_are_as_near_to_the_others_as_those_of_another_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """20000 images. Two seeds of the plain bootstrap differ by about 0.04 standard errors."""
    sums, counts = totals_of(20_000)
    seeds = range(4)
    plain, blocks = [], []
    for seed in seeds:
        monkeypatch.setattr(statistics, "SEED", seed)
        plain.append(statistics._ends(sums, counts))
        blocks.append(statistics._ends_in_blocks(sums, counts))
    error = np.diff(np.mean(plain, axis=0), axis=0)[0] / (2 * 1.96)
    one, other = np.array(plain) / error, np.array(blocks) / error  # (seeds, ends, columns)
    of_seeds = np.sqrt(np.mean([(one[i] - one[j]) ** 2 for i in seeds for j in range(i)]))
    of_blocks = np.sqrt(np.mean([(one[i] - other[j]) ** 2 for i in seeds for j in seeds]))
    assert of_blocks < 1.3 * of_seeds, (of_blocks, of_seeds)
    assert np.abs(one.mean(axis=0) - other.mean(axis=0)).max() < 0.08


def test_means_of_classes_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    classes = rng.integers(0, 5, 3000)
    index = pd.MultiIndex.from_arrays(
        [[f"{image:05}" for image in range(3000)], classes], names=["image_id", "class_name"]
    )
    values = pd.DataFrame({"x": rng.gamma(2.0, size=3000) * (1 + classes)}, index)
    plain = estimate_means(values, "classes")["x"]
    monkeypatch.setattr(statistics, "MOST_IMAGES_AT_ONCE", 100)
    found = estimate_means(values, "classes")["x"]
    assert found.mean == plain.mean
    width = bounds(plain)[1] - bounds(plain)[0]
    assert bounds(found) == pytest.approx(bounds(plain), abs=0.04 * width)
    assert bounds(found) != bounds(plain)


@pytest.mark.parametrize("held", [40, 3000])
def test_sparse_totals_of_classes_have_the_estimates_of_dense_ones(
    monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """Images with several classes, some without values; there are values of the first ``held`` images."""
    rng = np.random.default_rng(5)
    images, classes = np.divmod(rng.permutation(3000 * 7)[:9000], 7)
    index = pd.MultiIndex.from_arrays(
        [[f"{image:05}" for image in images], [f"class{number}" for number in classes]],
        names=["image_id", "class_name"],
    )
    values = pd.DataFrame({"a": rng.gamma(2.0, size=9000) * (1 + classes), "b": 50.0, "c": np.nan}, index)
    values.loc[(rng.random(9000) < 0.1) | (images >= held), "a"] = np.nan
    dense = statistics._estimates(*statistics._totals(values, "classes"))
    blocks = statistics._totals(values[["a"]].dropna(), "classes")
    ends = statistics._ends_in_blocks(blocks.sums, blocks.counts)
    monkeypatch.setattr(statistics, "MOST_IMAGES_AT_ONCE", 100)
    found = estimate_means(values, "classes")
    assert found["a"].mean == dense["a"].mean
    assert found["a"][3:] == dense["a"][3:]
    assert bounds(found["a"]) == pytest.approx(
        bounds(dense["a"]) if held < 100 else [float(end[0]) for end in ends], rel=1e-12
    )
    assert found["b"] == dense["b"]
    assert found["b"].low is None
    assert found["c"] == dense["c"] == (None, None, None, 0, 0)


def test_the_memory_of_means_of_classes_does_not_grow_with_images_times_classes() -> None:
    """A dense array of 20000 images and 400 classes has 64 MB for each column, and there are two of them."""
    images = np.arange(20_000)
    index = pd.MultiIndex.from_arrays([images, images % 400], names=["image_id", "class_name"])
    values = pd.DataFrame({"x": np.random.default_rng(0).random(20_000)}, index)
    statistics._balanced_draws.cache_clear()
    tracemalloc.start()
    found = statistics._estimates_of_classes(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    resampled = 8 * statistics.RESAMPLES * 2 * 400
    assert peak < 3 * resampled + 20e6
    assert (found["x"].pairs, found["x"].images) == (20_000, 20_000)


@pytest.mark.parametrize("most", [10, 5_000])
def test_frames_one_by_one_have_the_estimates_of_one_frame(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(statistics, "MOST_IMAGES_AT_ONCE", most)
    values = frame(clustered(np.random.default_rng(1), 60), "a")
    values["b"] = np.random.default_rng(2).normal(size=len(values))
    whole = estimate_means(values)
    assert estimate_means(values[[name]] for name in values) == whole
    monkeypatch.setattr(statistics, "_TOTALS_AT_ONCE", 0)
    parts = estimate_means(values[[name]] for name in values)
    for name in values:
        assert bounds(parts[name]) == pytest.approx(bounds(whole[name]), rel=1e-12)


def test_all_draws_of_a_block_have_every_image_equally_often() -> None:
    times = statistics._balanced_draws(7, 0)
    assert times.shape == (256, 7)
    assert set(times.sum(axis=0)) == {256}
    assert set(times.sum(axis=1)) == {7}
    assert len(np.unique(times, axis=0)) > 200


def test_blocks_of_equal_length_share_their_draws() -> None:
    """What is drawn does then not grow with the images."""
    statistics._balanced_draws.cache_clear()
    statistics._ends_in_blocks(*totals_of(20_001))
    assert statistics._balanced_draws.cache_info().misses == 2
