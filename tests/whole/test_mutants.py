"""Small changes to the definitions that every number rests on; each must be noticed.

A mutant is one replacement in the source of a module, compiled in memory. The checks below are references of
their own, written as loops, and run on the original, which passes all, and on each mutant, which fails one.
"""

from __future__ import annotations
import __future__

import ast
import itertools
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_classifier
from reference import select
from scipy.ndimage import correlate
from scipy.stats import rankdata
from skimage.filters import threshold_otsu
from torch import nn

import adasise_bench
from adasise_bench.models.batching import BatchSize

PACKAGE = Path(adasise_bench.__file__).parent

Module = Any


_PARTS = ("pixels", "localisation", "faithfulness", "randomisation", "registry")
METRICS = [f"metrics/{name}.py" for name in _PARTS]
"""One module for the mutants, since the files use one another."""


def load(module: str, old: str = "", new: str = "") -> Module:
    """A module of the package from its source, in which ``old``, found once, has become ``new``."""
    paths = [PACKAGE / name for name in (METRICS if module == "metrics" else [module])]
    source = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    if old:
        assert source.count(old) == 1, f"{module} has {source.count(old)} of {old!r}"
        source = source.replace(old, new)
    tree = ast.parse(source.replace("from __future__ import annotations\n", ""))
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.ImportFrom) and str(node.module).startswith("adasise_bench.metrics"))
    ]
    name = "adasise_bench." + module.removesuffix(".py").replace("/", ".")
    mutant = types.ModuleType(name)
    flags = __future__.annotations.compiler_flag
    # Classes look up their module by name while they are made.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, mutant)
        exec(compile(tree, str(paths[0]), "exec", flags), mutant.__dict__)
    return mutant


def some_maps(count: int = 6, shape: tuple[int, int] = (7, 11)) -> list[torch.Tensor]:
    """Maps with ties, at least 0, of which the last is zero."""
    random = torch.Generator().manual_seed(2)
    maps = [torch.randint(0, 9, shape, generator=random).float() / 8 for _ in range(count)]
    return [*maps, torch.rand(shape, generator=random), torch.zeros(shape)]


def some_boxes(shape: tuple[int, int] = (7, 11)) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    boxes = [torch.rand(shape, generator=random) < share for share in (0.05, 0.3, 0.8)]
    corner = torch.zeros(shape, dtype=torch.bool)
    corner[:2, 5:] = True
    return [*boxes, corner]


def close(got: float, wanted: float) -> None:
    assert math.isclose(got, wanted, rel_tol=1e-9, abs_tol=1e-12), (got, wanted)


def ranked(saliency: torch.Tensor) -> list[int]:
    """Pixels from the highest, equal ones in row-major order."""
    values = saliency.flatten().tolist()
    return sorted(range(len(values)), key=lambda pixel: (-values[pixel], pixel))


def check_metrics(metrics: Module) -> None:
    for saliency in some_maps():
        values, order = saliency.double().flatten().tolist(), ranked(saliency)
        shown, top = set(order[: 77 * 15 // 100]), set(order[: 77 * 20 // 100])
        for inside in some_boxes():
            box = {pixel for pixel, within in enumerate(inside.flatten().tolist()) if within}
            energy = sum(values)
            within = sum(values[pixel] for pixel in box)
            close(metrics.ebpg(saliency, inside), 100 * within / energy if energy else 0)
            close(metrics.bbox(saliency, inside), 100 * len(box & set(order[: len(box)])) / len(box))
            close(metrics.miou(saliency, inside), 100 * len(box & top) / len(box | top))
        image = torch.arange(1.0, 3 * 77 + 1).view(1, 3, 7, 11)
        kept = metrics.shown_part(image, saliency)
        for pixel in range(77):
            channels = kept[0, :, pixel // 11, pixel % 11]
            assert torch.equal(channels, image[0, :, pixel // 11, pixel % 11] * (pixel in shown))
        assert metrics.is_degenerate(saliency) == (len(set(values)) == 1)
    with pytest.raises(ValueError, match="negative"):
        metrics.ebpg(torch.tensor([[1.0, -1e-6]]), torch.tensor([[True, False]]))
    for score, less, equal, more in [(0.8, 0.2, 0.8, 0.9), (0.4, 0.1, 0.4, 0.6)]:
        close(metrics.drop(score, less), 100 * (score - less) / score)
        assert (metrics.drop(score, equal), metrics.drop(score, more)) == (0, 0)
        assert [metrics.increase(score, shown) for shown in (less, equal, more)] == [0, 0, 100]
    assert [metrics.drop(0.0, shown) for shown in (-0.5, 0.0, 0.5)] == [100, 0, 0]
    assert [metrics.drop(-1.0, shown) for shown in (-1.5, -1.0, -0.5)] == [100, 0, 0]
    assert metrics.share_of_pixels(torch.zeros(224, 224), 0.15) == 7526
    check_beyond_table1(metrics)
    lower = {"drop", "seconds", "deletion", "head_sensitivity", "complexity", "seconds_median", "seconds_p90",
             "forwards", "peak_memory"}  # fmt: skip
    directions = {name: metric.direction for name, metric in metrics.METRICS.items()}
    assert directions == {name: "down" if name in lower else "up" for name in directions}
    assert {"ebpg", "bbox", "increase", "miou", "pointing", "average_gain", "insertion"} < directions.keys()


def check_beyond_table1(metrics: Module) -> None:
    region = torch.zeros(50, 66, dtype=torch.bool)
    region[20:24, 30:33] = True
    saliency = torch.rand(7, 11, generator=torch.Generator().manual_seed(1))
    for peak in range(77):
        peaked = saliency.clone()
        peaked[peak // 11, peak % 11] += 1
        resized = stretched(50, 7) @ peaked.double().numpy() @ stretched(66, 11).T
        row, column = np.unravel_index(resized.argmax(), resized.shape)
        distances = [math.hypot(y - row, x - column) for y in range(20, 24) for x in range(30, 33)]
        assert metrics.pointing(peaked, region) == (100 if min(distances) < 15 else 0)
    for y, x, hit in [(20, 15, 0), (20, 16, 100), (8, 21, 0), (8, 22, 100), (38, 32, 0), (37, 32, 100)]:
        point = torch.zeros(50, 66)
        point[y, x] = 1
        assert metrics.pointing(point, region) == hit, (y, x)
    for score, less, more in [(0.5, 0.2, 0.9), (0.0, -0.1, 0.25)]:
        assert metrics.average_gain(score, less) == metrics.average_gain(score, score) == 0
        close(metrics.average_gain(score, more), 100 * (more - score) / (1 - score))
    assert metrics.average_gain(1.0, 0.5) is metrics.average_gain(1.0, 1.0) is None
    scores = [0.9, 0.5, 0.7, 0.1]
    wanted = 100 * sum((one + other) / 2 / 3 for one, other in itertools.pairwise(scores))
    close(metrics.area_under_curve(torch.tensor(scores, dtype=torch.float64)), wanted)
    one, other = some_maps()[:2]
    ranks = np.corrcoef(rankdata(one.numpy().ravel()), rankdata(other.numpy().ravel()))
    close(metrics.rank_correlation(one, other), ranks[0, 1])
    assert metrics.rank_correlation(one, torch.ones(7, 11)) is metrics.rank_correlation(0 * one, one) is None


def stretched(size: int, side: int) -> np.ndarray[Any, Any]:
    """The matrix that resizes a line of ``side`` values bilinearly to ``size``."""
    matrix = np.zeros((size, side))
    for place in range(size):
        at = min(max((place + 0.5) * side / size - 0.5, 0), side - 1)
        low = int(at)
        matrix[place, low] += 1 - (at - low)
        matrix[place, min(low + 1, side - 1)] += at - low
    return matrix


def check_network_metrics(metrics: Module) -> None:
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 10 * 12, 3), nn.Identity())
    with torch.no_grad():
        module[2].weight.mul_(0.01)
        module[2].bias.copy_(torch.tensor([0.4, -0.2, 0.1]))
    classifier = make_classifier(module, ("0",), tuple("abc"), batch_size=BatchSize(4))
    image = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(4)) * 80
    saliency = some_maps(1, (12, 14))[0]
    kernel = np.zeros((11, 11))
    kernel[5, 5] = 1
    kernel = correlate(kernel, np.outer(*2 * [np.exp(-(np.arange(-20, 21) ** 2) / 50)]), mode="reflect")
    soft = np.stack(
        [correlate(channel, kernel / kernel.sum(), mode="constant") for channel in image[0].numpy()]
    )
    torch.testing.assert_close(metrics.blurred(image)[0].numpy(), soft, atol=1e-4, rtol=1e-5)
    ways = {"insertion": (torch.tensor(soft)[None], image), "deletion": (image, 0 * image)}
    for name, (start, finish) in ways.items():
        current, scores = start.clone(), []
        for step in range(15):
            scores.append(float(module(current).softmax(1)[0, 1]))
            for pixel in ranked(saliency)[step * 12 : step * 12 + 12]:
                current[..., pixel // 14, pixel % 14] = finish[..., pixel // 14, pixel % 14]
        got = getattr(metrics, name)(classifier, image, 1, saliency)
        assert got == pytest.approx(100 * np.trapezoid(scores, dx=1 / 14), abs=1e-4)
    drawn = metrics.randomized_head(classifier, image).module
    random = torch.Generator().manual_seed(0)
    assert drawn[0].weight is module[0].weight
    for name in ("weight", "bias"):
        ours = getattr(module[2], name).double().numpy()
        wanted = torch.randn(ours.shape, generator=random).double().numpy() * ours.std()
        np.testing.assert_allclose(getattr(drawn[2], name).numpy(), wanted, rtol=1e-5)
    assert metrics.expected_forwards(metrics.EXTRA, 224, 7) == 482


def check_selectors(selectors: Module) -> None:
    random = torch.Generator().manual_seed(5)
    sums = [torch.randn(count, generator=random, dtype=torch.float64) for count in (1, 2, 3, 4, 5, 8, 9, 40)]
    sums += [-sums[4].abs(), torch.zeros(4, dtype=torch.float64), torch.ones(5, dtype=torch.float64)]
    sums += [torch.tensor(values, dtype=torch.float64) for values in
             ([1, 2], [1, 2, 3], [1, 2, 3, 4], [-1, 1, 2], [1, 5, 5, 5, 5], [0, 0, 1, 4, 9])]  # fmt: skip
    for gradients in sums:
        largest = float(gradients.max())
        values = selectors.normalized(gradients)
        assert values.tolist() == [v / largest if largest > 0 else 0 for v in gradients.tolist()]
        for selector, mu in (
            ("fixed", 0.0),
            ("fixed", 0.3),
            ("printed", 0.3),
            ("otsu", 0.3),
            ("log-otsu", 0.3),
        ):
            kept = values > selectors.threshold(values, selector, mu)
            assert kept.tolist() == select(values.tolist(), selector, mu)
        ascending = gradients[gradients > 0].sort().values.tolist()
        n = len(ascending)
        if n < 3:
            continue
        printed, otsu = [], []
        for i in range(1, n):
            low, high = ascending[:i], ascending[i:]
            otsu.append(i * (n - i) / n**2 * (sum(low) / i - sum(high) / (n - i)) ** 2)
            if 2 * i < n:
                omegas = (n * sum(low) / i) * (n * sum(ascending[i - 1 :]) / (n - i))
                printed.append(omegas * ((n - 2 * i) / n) ** 2)
        tensor = torch.tensor(ascending, dtype=torch.float64)
        for got, wanted in (
            (selectors.printed_criterion(tensor), printed),
            (selectors.otsu_criterion(tensor), otsu),
        ):
            assert len(got) == len(wanted)
            for one, other in zip(got.tolist(), wanted, strict=True):
                close(one, other)


def check_fusion(fusion: Module) -> None:
    layers = [fusion.min_max(saliency) for saliency in some_maps()]
    for scaled, saliency in zip(layers, some_maps(), strict=True):
        low, high = float(saliency.min()), float(saliency.max())
        wanted = (saliency - low) / (high - low) if high > low else torch.zeros_like(saliency)
        torch.testing.assert_close(scaled, wanted)
    offset = fusion.min_max(torch.tensor([[[2.0, 4.0], [3.0, 2.0]], [[5.0, 5.0], [5.0, 5.0]]]))
    assert offset.tolist() == [[[0, 1], [0.5, 0]], [[0, 0], [0, 0]]]
    random = np.random.default_rng(7)
    for values in (
        random.random(300),
        random.normal(size=300),
        np.r_[random.normal(0, 1, 90), random.normal(8, 1, 60)],
        np.array([0.0, 1.0]),
        np.array([0.0, 0.0, 0.4, 1.0]),
    ):
        limit = float(fusion.otsu_thresholds(torch.from_numpy(values)[None]))
        assert limit == pytest.approx(float(threshold_otsu(values)), abs=1e-6)
    assert fusion.otsu_thresholds(torch.full((1, 3, 3), 0.25)).tolist() == [0.25]
    for kind in ("hard", "soft"):
        fused = layers[0].double().numpy()
        for layer in layers[1:4]:
            limit = np.float32(threshold_otsu(layer.double().numpy()))
            above = layer.numpy() - limit
            gate = above > 0 if kind == "hard" else 1 / (1 + np.exp(-100.0 * above.astype(float)))
            fused = (fused + layer.numpy()) * gate
        wanted = (fused - fused.min()) / (fused.max() - fused.min())
        np.testing.assert_allclose(fusion.fuse(layers[:4], kind).numpy(), wanted, atol=1e-5)
    flat = torch.full((2, 2), 0.5)  # lies on its own threshold, so nothing is above it
    assert not fusion.fuse([torch.rand(2, 2), flat]).any()


def check_boxes(boxes: Module) -> None:
    frame = (16, 24)
    for width, height in ((24, 16), (60, 40), (13, 9), (500, 375)):
        for corners in (
            (1, 1, 1, 1),
            (2, 3, 7, 5),
            (1, 1, width, height),
            (width, height, width, height),
            (-3, -2, 4, 5),
            (width - 3, height - 2, width + 9, height + 9),
            (3.4, 2.6, 9.5, 8.5),
        ):
            xmin, ymin, xmax, ymax = corners
            spans = []
            for first, last, picture, pixels in (
                (xmin, xmax, width, frame[1]),
                (ymin, ymax, height, frame[0]),
            ):
                start = sorted((0, round((first - 1) * pixels / picture), pixels - 1))[1]
                spans.append((start, sorted((start + 1, round(last * pixels / picture), pixels))[1]))
            (left, right), (top, bottom) = spans
            wanted = [
                [top <= y < bottom and left <= x < right for x in range(frame[1])] for y in range(frame[0])
            ]
            mask = boxes.box_mask([boxes.Box("dog", *corners)], (width, height), frame)
            assert mask.tolist() == wanted, (corners, width, height)
    overlapping = [boxes.Box("dog", 1, 1, 3, 3), boxes.Box("dog", 2, 2, 6, 4, True)]
    assert boxes.box_mask(overlapping, (6, 4), (4, 6)).sum() == 9 + 15 - 4


def check_all_metrics(metrics: Module) -> None:
    check_metrics(metrics)
    check_network_metrics(metrics)


CHECKS: dict[str, Callable[[Module], None]] = {
    "metrics": check_all_metrics,
    "methods/sise/selectors.py": check_selectors,
    "methods/sise/fusion.py": check_fusion,
    "data/boxes.py": check_boxes,
}

MUTANTS = {
    "metrics": [
        ("descending=True", "descending=False"),
        ("order[:count]", "order[: count + 1]"),
        ("order[:count]", "order[: count - 1]"),
        ("order[:count]", "order[1 : count + 1]"),
        ("torch.zeros_like(order, dtype=torch.bool)", "torch.ones_like(order, dtype=torch.bool)"),
        ("saliency.flatten().argsort", "saliency.T.flatten().argsort"),
        ("saliency.flatten().argsort", "saliency.flip(0).flatten().argsort"),
        ("SHOWN_SHARE = 0.15", "SHOWN_SHARE = 0.16"),
        ("SHOWN_SHARE = 0.15", "SHOWN_SHARE = 0.14"),
        ("IOU_SHARE = 0.20", "IOU_SHARE = 0.19"),
        ("IOU_SHARE = 0.20", "IOU_SHARE = 0.15"),
        ("share_of_pixels(saliency, SHOWN_SHARE)", "share_of_pixels(saliency, IOU_SHARE)"),
        ("share_of_pixels(saliency, IOU_SHARE)", "share_of_pixels(saliency, SHOWN_SHARE)"),
        ("round(share * 100) // 100", "int(share * 100) // 100 + 1"),
        ("saliency.numel() * round", "(saliency.numel() + 10) * round"),
        ("energy < 0", "energy < -1"),
        ("energy < 0", "energy <= 0"),
        ("if total > 0 else 0.0", "if total > 0 else 100.0"),
        ("energy[inside].sum()", "energy[~inside].sum()"),
        ("energy[inside].sum()", "energy[inside].max()"),
        ("energy[inside].sum() / total", "energy[inside].sum() / energy.numel()"),
        ("count = int(inside.sum())", "count = int((~inside).sum())"),
        ("& inside).sum()) / count", "& inside).sum())"),
        ("order, ties) & inside).sum()", "order, ties) | inside).sum()"),
        ("int((top & inside).sum())", "int((top ^ inside).sum())"),
        ("int((top | inside).sum())", "int(inside.sum())"),
        ("int((top | inside).sum())", "int(top.sum() + inside.sum())"),
        ("return image * top_pixels", "return image * ~top_pixels"),
        ("score <= 0", "score < -2"),
        ("if score_shown < score else 0.0", "if score_shown <= score else 0.0"),
        ("max(0.0, score - score_shown)", "abs(score - score_shown)"),
        ("max(0.0, score - score_shown)", "min(0.0, score - score_shown)"),
        ("(max(0.0, score - score_shown) / score)", "max(0.0, score - score_shown)"),
        ("score_shown > score else", "score_shown >= score else"),
        ("score_shown > score else", "score > score_shown else"),
        ("saliency.max() == saliency.min()", "saliency.max() == 0 * saliency.min() + 1"),
        ('pixels are shown", direction="down"', 'pixels are shown", direction="up"'),
        ('is set to zero", direction="down"', 'is set to zero", direction="up"'),
        ('"correlation", "down"', '"correlation", "up"'),
        ("TOLERANCE = 15", "TOLERANCE = 14"),
        ("TOLERANCE = 15", "TOLERANCE = 16"),
        ("< TOLERANCE**2", "<= TOLERANCE**2"),
        ("resized.argmax()", "resized.argmin()"),
        ("int(resized.argmax()), region.shape[1]", "int(resized.argmax()), region.shape[0]"),
        ("row, column = divmod", "column, row = divmod"),
        ("align_corners=False", "align_corners=True"),
        ("(rows - row) ** 2 +", "(rows - row) ** 2 -"),
        ("bool(near.any())", "bool(near.all())"),
        ("score >= 1:", "score > 1:"),
        ("max(0.0, score_shown - score)", "abs(score_shown - score)"),
        ("/ (1 - score)", "/ (1 + score)"),
        ("(max(0.0, score_shown - score) / (1 - score))", "max(0.0, score_shown - score)"),
        ("(curve[0] + curve[-1]) / 2", "curve[0] / 2"),
        ("(curve[0] + curve[-1]) / 2", "(curve[0] + curve[-1])"),
        ("(len(curve) - 1)", "len(curve)"),
        ("is_degenerate(saliency) or", "is_degenerate(saliency) and"),
        ("spearmanr(", "__import__('scipy.stats').stats.kendalltau("),
        ("BLUR_SIDE = 11", "BLUR_SIDE = 9"),
        ("BLUR_SIGMA = 5", "BLUR_SIGMA = 4"),
        ('mode="reflect"', 'mode="constant"'),
        ("HEAD_SEED = 0", "HEAD_SEED = 1"),
        ("start=blurred(image), finish=image",
         "start=image, finish=blurred(image)"),
        ("start=blurred(image)", "start=torch.zeros_like(image)"),
        ("finish=torch.zeros_like(image)", "finish=torch.ones_like(image)"),
        ("finish=torch.zeros_like(image)", "finish=blurred(image)"),
        ("// height", "// width"),
        ("torch.arange(width + 1", "torch.arange(width"),
        ("torch.arange(width + 1", "torch.arange(height + 1"),
        ("< part.view", "<= part.view"),
        ("step_of[order] = torch", "step_of[:] = torch"),
        ("view(1, 1, height, width)", "view(1, 1, width, height).mT"),
        ("torch.where(changed, finish, start", "torch.where(changed, start, finish"),
        ("batch[:, target]", "batch[:, 0]"),
        ("return ran[-1]", "return ran[0]"),
        ("std(correction=0)", "std()"),
        ("drawn.to(parameter) * parameter.std", "parameter.mean() + drawn.to(parameter) * parameter.std"),
        ("torch.randn(", "torch.rand("),
        ("side + one.explanations * explanation", "side"),
        ("return sum(one.inputs + ", "return sum("),
    ],
    "methods/sise/selectors.py": [
        ("largest = gradients.max()", "largest = gradients.abs().max()"),
        ("largest = gradients.max()", "largest = gradients.min()"),
        ("torch.where(largest > 0,", "torch.where(largest < 0,"),
        ("gradients / largest", "gradients * largest"),
        ("values[values > 0]", "values[values >= 0]"),
        ("values[values > 0].sort()", "values[values > 0].sort(descending=True)"),
        ("len(positive) <= 2", "len(positive) <= 3"),
        ("len(positive) <= 2", "len(positive) < 2"),
        ("(positive).argmax()", "(positive).argmin()"),
        (".argmax()]", ".argmax() + 1]"),
        ("otsu_criterion(ascending.log())", "otsu_criterion(ascending)"),
        ("float(positive[-1]) > chosen", "float(positive[-1]) >= chosen"),
        ("(n + 1) // 2", "n // 2"),
        ("(n + 1) // 2", "n"),
        ("torch.arange(1, (n + 1) // 2", "torch.arange(2, (n + 1) // 2 + 1"),
        ("from_i = ascending.flip(0).cumsum(0).flip(0)[: len(i)]",
         "from_i = ascending.flip(0).cumsum(0).flip(0)[1 : len(i) + 1]"),
        ("(n * below / i)", "(n * below)"),
        ("from_i / (n - i)", "from_i / (n + i)"),
        ("(n - 2 * i)", "(n - i)"),
        ("((n - 2 * i) / n) ** 2", "((n - 2 * i) / n)"),
        ("cumsum(0)[:-1]", "cumsum(0)[1:]"),
        ("flip(0)[1:]", "flip(0)[:-1]"),
        ("(1 - i / n)", "(1 + i / n)"),
        ("below / i - above / (n - i)) ** 2", "below / i + above / (n - i)) ** 2"),
        ("above / (n - i)) ** 2", "above / (n - i)).abs()"),
    ],
    "methods/sise/fusion.py": [
        ("_BINS = 256", "_BINS = 128"),
        ("_SOFT_SLOPE = 100.0", "_SOFT_SLOPE = 10.0"),
        ("low = values.amin(dim", "low = values.amax(dim"),
        ("(-2, -1), keepdim=True) - low", "(-2, -1), keepdim=True)"),
        ("(values - low) / torch.where", "values / torch.where"),
        ("- 1)\n    bins", "- 2)\n    bins"),
        ("+ 0.5) * span", "+ 0.0) * span"),
        ("centres = low +", "centres = high +"),
        ("weight_low[:, :-1] * weight_high[:, 1:]", "weight_low[:, :-1] * weight_high[:, :-1]"),
        ("(mean_low[:, :-1] - mean_high[:, 1:]) ** 2", "(mean_low[:, :-1] + mean_high[:, 1:]) ** 2"),
        ("(mean_low[:, :-1] - mean_high[:, 1:]) ** 2", "(mean_low[:, :-1] - mean_high[:, 1:])"),
        ("variance.argmax(", "variance.argmin("),
        ("best, low)", "best, 0 * low)"),
        ("fused = layers[0]", "fused = layers[-1]"),
        ("[*layers])[1:]", "[*layers])[2:]"),
        ("bins += torch", "bins += 0 * torch"),
        ("layer - limit", "layer + limit"),
        ("(above > 0)", "(above >= 0)"),
        ("(above > 0)", "(above < 0)"),
        ("(fused + layer) * gate", "(fused - layer) * gate"),
        ("(fused + layer) * gate", "fused + layer * gate"),
        ("(fused + layer) * gate", "fused * layer * gate"),
        ("return min_max(fused)", "return fused"),
        ('if fusion == "soft"', 'if fusion != "soft"'),
    ],
    "data/boxes.py": [
        ("(first - 1, last)", "(first, last)"),
        ("(first - 1, last)", "(first - 1, last - 1)"),
        ("(first - 1, last)", "(first - 2, last)"),
        ("max(edge, 0)", "max(edge, 1)"),
        ("round(before * frame / picture)", "int(before * frame / picture)"),
        ("round(last * frame / picture)", "int(last * frame / picture)"),
        ("frame - 1)", "frame)"),
        ("start + 1)", "start)"),
        ("picture_size[0], width", "picture_size[1], width"),
        ("picture_size[1], height", "picture_size[1], width"),
        ("height, width = input_size", "width, height = input_size"),
        ("mask[top:bottom, left:right]", "mask[left:right, top:bottom]"),
        ("mask[top:bottom, left:right]", "mask[top : bottom - 1, left:right]"),
        ("mask[top:bottom, left:right] = True", "mask[top:bottom, left:right] ^= True"),
        ("box.xmin, box.xmax", "box.xmin, box.ymax"),
        ("box.ymin, box.ymax", "box.xmin, box.ymax"),
    ],
}  # fmt: skip

ALL = [(module, old, new) for module, changes in MUTANTS.items() for old, new in changes]


@pytest.mark.parametrize("module", CHECKS)
def test_the_original_passes(module: str) -> None:
    CHECKS[module](load(module))


@pytest.mark.parametrize(("module", "old", "new"), ALL, ids=[f"{m}: {o} -> {n}" for m, o, n in ALL])
def test_mutants_are_noticed(module: str, old: str, new: str) -> None:
    mutant = load(module, old, new)
    noticed = (AssertionError, pytest.fail.Exception, ArithmeticError, IndexError, RuntimeError, ValueError)
    with pytest.raises(noticed):
        CHECKS[module](mutant)
