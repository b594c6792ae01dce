"""Chance levels against plain loops over the metrics themselves, and against the known levels of VOC 2007."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
import torch

from adasise_bench.data.boxes import Box
from adasise_bench.data.dataset import Annotation
from adasise_bench.metrics import chance
from adasise_bench.metrics.localisation import bbox, ebpg, miou, pointing, region_of
from adasise_bench.utils.centre_gaussian import centre_gaussian

SHAPE = (36, 30)


def _annotations(count: int, seed: int = 0) -> list[Annotation]:
    """Pictures with one to three boxes of class "a", some larger and some smaller than the input."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        width, height = (int(side) for side in generator.integers(20, 90, 2))
        boxes = []
        for _ in range(generator.integers(1, 4)):
            left, top = int(generator.integers(1, width)), int(generator.integers(1, height))
            right, bottom = int(generator.integers(left, width + 1)), int(generator.integers(top, height + 1))
            boxes.append(Box("a", left, top, right, bottom, difficult=bool(generator.random() < 0.3)))
        found.append(Annotation((width, height), tuple(boxes)))
    return found


def _one_pixel(pixel: int) -> torch.Tensor:
    saliency = torch.zeros(SHAPE)
    saliency.view(-1)[pixel] = 1
    return saliency


def _maps() -> list[tuple[chance.FixedMap, torch.Tensor]]:
    middle = chance.centre_pixel(SHAPE)
    return [
        (chance.uniform(SHAPE), torch.ones(SHAPE)),
        (chance.gaussian(SHAPE), centre_gaussian(SHAPE)),
        (chance.gaussian(SHAPE, 0.1), centre_gaussian(SHAPE, 0.1)),
        (chance.one_pixel(SHAPE, middle), _one_pixel(middle)),
        (chance.one_pixel(SHAPE, 7), _one_pixel(7)),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_fixed_map_gets_what_the_metrics_say(number: int) -> None:
    fixed, saliency = _maps()[number]
    for annotation in _annotations(20):
        inside = annotation.inside("a", SHAPE)
        expected = {
            "ebpg": ebpg(saliency, inside),
            "bbox": bbox(saliency, inside),
            "miou": miou(saliency, inside),
        }
        assert fixed.metrics(np.flatnonzero(inside.numpy())) == pytest.approx(expected, abs=1e-9)


def test_the_levels_of_a_pair_are_those_of_the_metrics() -> None:
    middle = _one_pixel(SHAPE[0] // 2 * SHAPE[1] + SHAPE[1] // 2)
    for annotation in _annotations(10):
        inside = annotation.inside("a", SHAPE)
        assert chance.pair_levels(inside) == pytest.approx({
            "chance_pixel_ebpg": ebpg(middle, inside),
            "chance_pixel_bbox": bbox(middle, inside),
            "chance_gaussian_ebpg": ebpg(centre_gaussian(SHAPE), inside),
            "chance_gaussian_bbox": bbox(centre_gaussian(SHAPE), inside),
        })  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
def test_hits_are_those_of_the_pointing_game_pixel_by_pixel(turned: bool) -> None:
    shape = (9, 8)
    sizes, seen = {(5, 4), (31, 70), (60, 60)}, set()
    for annotation in _annotations(6, seed=3):
        for size in sizes:
            width, height = size
            boxes = [Box("a", 1, 1, min(2, width), min(3, height), rotation=30.0 if turned else 0.0)]
            placed = Annotation(size, (*boxes, *_inside(annotation, size)))
            target = chance.target_of(placed, "a")
            assert target is not None
            region = region_of(placed, "a")
            hits = target.hits(shape)
            for pixel in range(hits.size):
                saliency = torch.zeros(shape)
                saliency.view(-1)[pixel] = 1
                assert 100.0 * hits.ravel()[pixel] == pointing(saliency, region), (size, pixel)
            seen |= set(hits.ravel().tolist())
    assert seen == {False, True}


def _inside(annotation: Annotation, size: tuple[int, int]) -> list[Box]:
    """The boxes that begin inside a picture of another size."""
    return [box for box in annotation.boxes if box.xmin <= size[0] and box.ymin <= size[1]]


def test_the_gaussian_points_where_the_pointing_game_says() -> None:
    for annotation in _annotations(20, seed=5):
        target = chance.target_of(annotation, "a")
        if target is None:
            assert region_of(annotation, "a") is None
            continue
        point = chance.gaussian_point(SHAPE, 0.25, annotation.picture_size)
        assert 100.0 * target.hit(*point) == pointing(centre_gaussian(SHAPE), region_of(annotation, "a"))


def test_without_an_object_that_counts_there_is_no_target() -> None:
    boxes = Box("a", 1, 1, 5, 5, difficult=True), Box("b", 1, 1, 5, 5)
    assert chance.target_of(Annotation((9, 9), boxes), "a") is None
    assert chance.target_of(Annotation((9, 9), boxes), "b") is not None


def _places(annotations: list[Annotation]) -> chance.Places:
    places = chance.Places(SHAPE)
    for annotation in annotations:
        target = chance.target_of(annotation, "a")
        places.add(annotation.inside("a", SHAPE).numpy(), target.hits(SHAPE) if target else None)
    return places


def test_no_pixel_gets_more_ebpg_than_the_best() -> None:
    annotations = _annotations(15)
    regions = [annotation.inside("a", SHAPE) for annotation in annotations]
    means = [
        np.mean([ebpg(_one_pixel(pixel), region) for region in regions])
        for pixel in range(SHAPE[0] * SHAPE[1])
    ]
    halves = [_places(annotations[:4]), chance.Places(SHAPE), _places(annotations[4:])]
    assert chance.best_pixel(halves) == int(np.argmax(means))
    assert chance.best_pixel([chance.Places(SHAPE)]) is None


def test_the_best_point_averages_over_the_groups() -> None:
    few, many = _places(_annotations(5, seed=8)), _places(_annotations(40, seed=9))
    shares = [few.hits / few.targets, many.hits / many.targets]
    assert chance.best_point([few, many]) == int(np.argmax(shares[0] + shares[1]))
    assert chance.best_point([]) is None


def test_the_bbox_map_is_the_best_ranking_of_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chance, "CELLS", 2)
    shape = (2, 2)
    generator = np.random.default_rng(4)
    for _ in range(10):
        regions = [region for region in generator.random((6, *shape)) < 0.5 if region.any()]
        places = chance.Places(shape)
        for region in regions:
            places.add(region, None)
        ranked = (torch.tensor(order).view(shape).float() + 1 for order in permutations(range(4)))
        highest = max(_mean_bbox(saliency, regions) for saliency in ranked)
        fitted = chance.best_bbox_map([places])
        assert fitted is not None
        got = np.mean([fitted.metrics(np.flatnonzero(region))["bbox"] for region in regions])
        assert got == pytest.approx(highest)


def _mean_bbox(saliency: torch.Tensor, regions: list[np.ndarray]) -> float:
    return float(np.mean([bbox(saliency, torch.from_numpy(region)) for region in regions]))


def test_the_maps_fitted_to_a_place_find_it() -> None:
    box = Annotation((30, 36), (Box("a", 3, 5, 12, 20),))
    places = _places([box] * 3)
    pixels = np.flatnonzero(box.inside("a", SHAPE).numpy())
    for fit, metric in ((chance.best_bbox_map, "bbox"), (chance.best_miou_map, "miou")):
        fitted = fit([places])
        assert fitted is not None
        assert fitted.metrics(pixels)[metric] > 1.5 * chance.gaussian(SHAPE).metrics(pixels)[metric]
        assert fitted.metrics(pixels)[metric] > 70
        assert fit([]) is None


def test_cells_hold_the_shares_of_their_pixels() -> None:
    places = chance.Places((28, 42))
    inside = np.random.default_rng(2).random((28, 42)) < 0.4
    places.add(inside, None)
    shares, sizes = places.cells
    blocks = inside.reshape(14, 2, 14, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(shares, blocks.reshape(1, -1))
    assert sizes == pytest.approx([blocks.sum()])


@pytest.mark.parametrize(("pixels", "region", "top"), [(6, 2, 1), (7, 3, 3), (8, 5, 6), (5, 5, 1), (4, 1, 0)])
def test_miou_at_random_is_the_mean_over_all_choices(pixels: int, region: int, top: int) -> None:
    inside = set(range(region))
    found = [
        len(inside & set(chosen)) / len(inside | set(chosen)) for chosen in combinations(range(pixels), top)
    ]
    assert chance.miou_at_random(pixels, region, top) == pytest.approx(100 * sum(found) / len(found))


def test_miou_at_random_of_a_whole_input() -> None:
    """Shuffled orders of all pixels, as many as make the mean certain to a hundredth of a point."""
    random = np.random.default_rng(0)
    region, top = np.arange(96 * 96) < 2000, 96 * 96 // 5
    common = np.array([random.permutation(region)[:top].sum() for _ in range(400)])
    expected = 100 * common / (top + 2000 - common)
    assert chance.miou_at_random(96 * 96, 2000, top) == pytest.approx(
        expected.mean(), abs=4 * expected.std() / 20
    )
