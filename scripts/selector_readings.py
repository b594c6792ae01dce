"""Ask which reading of Ada-SISE's criterion keeps as many feature maps as Table 2 prints.

    python scripts/selector_readings.py --config configs/table2.yaml --set data.sample=null \\
        --set data.root=/data/voc --set models.resnet50.checkpoint=net.pth.tar --output results/readings

Computes the feature maps' gradients for every picture and class, and stores them in DIR/gradients, so that
the command can be interrupted and given again. Then applies every reading of the criterion to them, and
writes DIR/readings.md and DIR/readings.csv: the share of the positive maps that each keeps in each block,
beside the paper's, the reading with the smallest largest error first. It needs scikit-image (`dev`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage import filters
from tabulate import tabulate
from tqdm import tqdm

from adasise_bench.data.dataset import Annotation
from adasise_bench.methods.sise.selectors import SelectorName, normalized, threshold
from adasise_bench.models.batching import torch_failures
from adasise_bench.models.classifier import Classifier
from adasise_bench.reporting.published import published
from adasise_bench.run import network
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import load_config
from adasise_bench.run.plan import Plan, make_plan
from adasise_bench.run.worker import load_ahead
from adasise_bench.utils.devices import pick_device
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.file_names import file_name
from adasise_bench.utils.files import read_text, write_atomically, write_text_atomically

Floats = NDArray[np.float64]

Reading = Callable[[Sequence[Floats]], Sequence[float]]
"""The thresholds of all blocks, from their normalised gradients v in the order of the channels.

Maps with v > μ and v > 0 are kept. A reading is only asked for blocks with three positive maps or more; of
fewer, all are kept, as by every selector of the tool.
"""

FEWEST = 3


class Split(NamedTuple):
    """A set of n values, split behind each of its first n-1 members; everything but ``n`` is (n-1,).

    Attributes:
        n: how many values there are.
        i: how many are in the lower class.
        low, high: sums of the two classes.
        from_i: sum of the upper class and the last member of the lower one, as equation 2 prints it.
    """

    n: int
    i: Floats
    low: Floats
    high: Floats
    from_i: Floats

    @classmethod
    def of(cls, values: Floats) -> Split:
        """Split a set of two values or more, in its order."""
        sums, n = values.cumsum(), len(values)
        low = sums[:-1]
        return cls(n, np.arange(1.0, n), low, sums[-1] - low, sums[-1] - low + values[:-1])

    @property
    def mean_low(self) -> Floats:
        """Means of the lower classes."""
        return self.low / self.i

    @property
    def mean_high(self) -> Floats:
        """Means of the upper classes."""
        return self.high / (self.n - self.i)

    @property
    def sizes(self) -> Floats:
        """The product of the classes' shares of the values."""
        return self.i * (self.n - self.i) / self.n**2

    @property
    def size_difference(self) -> Floats:
        """(n - 2i) / n."""
        return (self.n - 2 * self.i) / self.n


Criterion = Callable[[Split], Floats]


def printed(split: Split) -> Floats:
    """Equations 1 to 6."""
    omega_low, omega_high = split.n * split.mean_low, split.n * split.from_i / (split.n - split.i)
    return omega_low * omega_high * split.size_difference**2


def between_classes(split: Split) -> Floats:
    """Otsu's criterion."""
    return split.sizes * (split.mean_low - split.mean_high) ** 2


def best_split(criterion: Criterion, values: Floats, *, half: bool = False) -> int:
    """The size of the lower class with the highest criterion, of any size or below half of the values."""
    found = criterion(Split.of(values))
    return int(found[: (len(values) + 1) // 2 - 1 if half else None].argmax()) + 1


def split_at(criterion: Criterion, values: Floats, *, half: bool = False) -> float:
    """The last member of the lower class."""
    return float(values[best_split(criterion, values, half=half) - 1])


def rounded(values: Floats, bins: int) -> Floats:
    """The values, each replaced by the centre of its bin; the bins divide their range."""
    edges = np.histogram_bin_edges(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    return np.asarray(centres[np.clip(np.searchsorted(edges, values, "right") - 1, 0, bins - 1)])


def positive(of_values: Callable[[Floats], float]) -> Reading:
    """A reading of the positive values of each block, ascending."""
    return lambda blocks: [of_values(np.sort(block[block > 0])) for block in blocks]


def in_channel_order(of_values: Callable[[Floats], float]) -> Reading:
    """A reading of the positive values of each block, which are not sorted."""
    return lambda blocks: [of_values(block[block > 0]) for block in blocks]


def all_signs(of_values: Callable[[Floats], float]) -> Reading:
    """A reading of all values of each block, ascending, also those that are not positive."""
    return lambda blocks: [of_values(np.sort(block)) for block in blocks]


def all_blocks(of_values: Callable[[Floats], float]) -> Reading:
    """A reading of the positive values of all blocks together, ascending, with one threshold for all."""

    def read(blocks: Sequence[Floats]) -> list[float]:
        together = np.concatenate(blocks)
        return [of_values(np.sort(together[together > 0]))] * len(blocks)

    return read


def of_tool(selector: SelectorName, mu: float = 0.0) -> Reading:
    """A selector that the tool offers."""
    return lambda blocks: [threshold(torch.from_numpy(block), selector, mu) for block in blocks]


def printed_split(criterion: Criterion) -> Reading:
    """Another criterion in the place of the printed one, for i < n/2."""
    return positive(partial(split_at, criterion, half=True))


otsu_at = partial(split_at, between_classes)
printed_at = partial(split_at, printed, half=True)


def again(times: int, values: Floats) -> float:
    """Otsu's threshold of the values, then of those that are not above it, and so on."""
    for _ in range(times):
        values = values[values <= otsu_at(values)]
        if len(values) < FEWEST:
            return 0.0
    return otsu_at(values)


def lowest_of_classes(classes: int, values: Floats) -> float:
    """The lowest threshold of Otsu's criterion for several classes."""
    if len(np.unique(values)) <= classes:
        return 0.0
    thresholds: Any = filters
    return float(thresholds.threshold_multiotsu(values, classes)[0])


def printed_at_logarithms(values: Floats) -> float:
    """The printed criterion on log(v / lowest v), which is not negative."""
    return float(values[best_split(printed, np.log(values / values[0]), half=True) - 1])


def foreign(name: str, *arguments: int) -> Callable[[Floats], float]:
    """A threshold of scikit-image by its name."""
    function: Any = getattr(filters, f"threshold_{name}")
    return lambda values: float(function(values, *arguments))


READINGS: Mapping[str, Reading] = {
    "printed, i < n/2 (`printed`)": of_tool("printed"),
    "printed, all i": positive(partial(split_at, printed)),
    "printed, the set not sorted, all i": in_channel_order(partial(split_at, printed)),
    "printed, the set not sorted, i < n/2": in_channel_order(printed_at),
    "printed, the set descending, i < n/2": positive(lambda values: printed_at(values[::-1])),
    "printed, the threshold is i/n": positive(lambda v: best_split(printed, v, half=True) / len(v)),
    "printed, on the absolute gradients of the block": lambda blocks: [
        printed_at(np.sort(np.abs(block[block != 0]))) for block in blocks
    ],
    "printed, one threshold for all blocks": all_blocks(printed_at),
    "printed, on the logarithms' distance from the least": positive(printed_at_logarithms),
    "printed, on 16 bins": positive(lambda values: printed_at(rounded(values, 16))),
    "printed, on 64 bins": positive(lambda values: printed_at(rounded(values, 64))),
    "printed, on 256 bins": positive(lambda values: printed_at(rounded(values, 256))),
    "roles: upper class without element i": printed_split(
        lambda s: s.mean_low * s.mean_high * s.size_difference**2
    ),
    "roles: upper class divided by n - i + 1": printed_split(
        lambda s: s.mean_low * s.from_i / (s.n - s.i + 1) * s.size_difference**2
    ),
    "roles: sums of the classes instead of means": printed_split(
        lambda s: s.low * s.high * s.size_difference**2
    ),
    "roles: sizes of the classes instead of means": printed_split(lambda s: s.sizes * s.size_difference**2),
    "roles: difference of the sizes not squared": printed_split(
        lambda s: s.mean_low * s.from_i / (s.n - s.i) * s.size_difference
    ),
    "roles: product of the means only": printed_split(lambda s: s.mean_low * s.from_i / (s.n - s.i)),
    "roles: means as sizes and as means": printed_split(
        lambda s: s.mean_low * s.mean_high * (s.mean_low - s.mean_high) ** 2
    ),
    "roles: sums as sizes, difference of the means": printed_split(
        lambda s: s.low * s.high * (s.mean_low - s.mean_high) ** 2
    ),
    "roles: sizes, difference of the sums": printed_split(lambda s: s.sizes * (s.low - s.high) ** 2),
    "roles: difference of the means only": printed_split(lambda s: (s.mean_low - s.mean_high) ** 2),
    "roles: Otsu's, i < n/2": printed_split(between_classes),
    "Otsu, exact (`otsu`)": of_tool("otsu"),
    "Otsu, 16 bins": positive(foreign("otsu", 16)),
    "Otsu, 64 bins": positive(foreign("otsu", 64)),
    "Otsu, 256 bins": positive(foreign("otsu", 256)),
    "Otsu, the threshold is i/n": positive(lambda v: best_split(between_classes, v) / len(v)),
    "Otsu on the logarithm (`log-otsu`)": of_tool("log-otsu"),
    "Otsu on the logarithm, 256 bins": positive(
        lambda values: math.exp(foreign("otsu", 256)(np.log(values)))
    ),
    "Otsu on the square root": positive(lambda values: otsu_at(np.sqrt(values)) ** 2),
    "Otsu, again on the lower class": positive(partial(again, 1)),
    "Otsu, again on the lower class, twice": positive(partial(again, 2)),
    "Otsu, again on the lower class, three times": positive(partial(again, 3)),
    "Otsu on all gradients of the block": all_signs(otsu_at),
    "Otsu on the absolute gradients of the block": lambda blocks: [
        otsu_at(np.sort(np.abs(block))) for block in blocks
    ],
    "Otsu, one threshold for all blocks": all_blocks(otsu_at),
    "Otsu, three classes, lowest": positive(partial(lowest_of_classes, 3)),
    "Otsu, four classes, lowest": positive(partial(lowest_of_classes, 4)),
    **{f"fixed, mu {mu:g}": of_tool("fixed", mu) for mu in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)},
    "triangle": positive(foreign("triangle")),
    "Li": positive(foreign("li")),
    "Yen": positive(foreign("yen")),
    "isodata": positive(foreign("isodata")),
    "mean": positive(lambda values: float(values.mean())),
    "half of the mean": positive(lambda values: float(values.mean()) / 2),
    "median": positive(lambda values: float(np.median(values))),
    "geometric mean": positive(lambda values: float(np.exp(np.log(values).mean()))),
    "mean minus deviation": positive(lambda values: float(values.mean() - values.std())),
    "mean of all gradients of the block": all_signs(lambda values: float(values.mean())),
    "lowest element": positive(lambda values: float(values[0])),
    "highest element": positive(lambda values: float(values[-1])),
}
"""By title. In those called `roles`, the class sizes, means and sums of the print have changed places."""


def kept_and_positive(reading: Reading, blocks: Sequence[Floats]) -> tuple[list[int], list[int]]:
    """How many maps of each block a reading keeps, and how many have a positive gradient.

    Args:
        reading: see :data:`Reading`.
        blocks: (K,) normalised gradients of each block.
    """
    counts = [int((block > 0).sum()) for block in blocks]
    enough = [number for number, count in enumerate(counts) if count >= FEWEST]
    kept = list(counts)
    for number, mu in zip(
        enough, reading([blocks[number] for number in enough]) if enough else (), strict=True
    ):
        kept[number] = int((blocks[number] > max(mu, 0)).sum())
    return kept, counts


def table(pairs: Sequence[Sequence[Floats]]) -> pd.DataFrame:
    """A row per reading: the share of the positive maps that it keeps in each block, and the largest error.

    Args:
        pairs: the blocks' normalised gradients of every picture and class.
    """
    paper = published_shares()
    rows = []
    for title, reading in READINGS.items():
        kept, counts = np.array([kept_and_positive(reading, blocks) for blocks in pairs]).sum(axis=0)
        shares = kept / np.maximum(counts, 1)
        error = float(np.abs(shares - paper).max()) if len(shares) == len(paper) else None
        rows.append({"reading": title, **_by_block(shares), "largest error": error})
    return pd.DataFrame(rows).sort_values("largest error", kind="stable")


def published_shares() -> Floats:
    """Ada-SISE's maps over SISE's in each block of Table 2."""
    maps = published("ada_sise")["table2"]["maps"]
    shares: Floats = np.array(maps["ada_sise"]) / np.array(maps["sise"])
    return shares


def _by_block(values: Sequence[float] | Floats) -> dict[str, float]:
    return {f"p{number}": float(value) for number, value in enumerate(values, start=1)}


def gradients(config: RunConfig, model: str, folder: Path) -> Iterator[list[Floats]]:
    """The blocks' normalised gradients of every picture and class, computed where ``folder`` has none.

    Args:
        config: names the data and the network.
        model: one of the configuration's models.
        folder: a file for each picture, and one that says of what network and data they are.

    Raises:
        BenchError: gradients that are not finite, or a folder of other gradients.
    """
    plan = make_plan(config)
    classifier = network.load(config, model, pick_device(config.device), plan.dataset.classes)
    network.refuse_missing_classes(classifier, plan.dataset)
    ends = np.cumsum([0, *network.facts(classifier)["maps_available"]])
    _claim(folder, config, classifier, plan)
    path = {image_id: folder / f"{file_name(image_id)}.npy" for image_id in plan.annotations}
    missing = [image_id for image_id in path if not path[image_id].exists()]
    loaded = load_ahead(plan, missing, dict.fromkeys(missing), classifier.preprocessing)
    for image_id, one in tqdm(loaded, total=len(missing), unit="picture", disable=None):
        if isinstance(one, BenchError):
            raise one
        write_atomically(path[image_id], partial(_save, _of_picture(classifier, image_id, *one)))
    for image_id in path:
        for sums in np.load(path[image_id], allow_pickle=False):
            blocks = [torch.from_numpy(sums[start:stop]) for start, stop in pairwise(ends)]
            yield [normalized(block).numpy() for block in blocks]


def _of_picture(classifier: Classifier, image_id: str, annotation: Annotation, image: torch.Tensor) -> Floats:
    """(T, maps of all blocks) summed gradients for each of the picture's classes."""
    targets = [classifier.classes.index(name) for name in annotation.class_names]
    with torch_failures():
        blocks = classifier.block_maps(image.to(classifier.device), targets)
    sums: Floats = torch.cat([block.gradients for block in blocks], dim=1).cpu().numpy()
    if not np.isfinite(sums).all():
        raise BenchError(f"{image_id}: the network's gradients are not finite for this picture")
    return sums


def _save(sums: Floats, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, sums)


def _claim(folder: Path, config: RunConfig, classifier: Classifier, plan: Plan) -> None:
    """Write down what the gradients are of, or refuse those of something else.

    Raises:
        BenchError: names the folder.
    """
    facts = {
        "weights_sha256": classifier.weights.sha256,
        "blocks": list(classifier.blocks),
        "score": config.score,
        "data": [plan.dataset.name, config.data.input_size, config.data.resize],
        "preprocessing": asdict(classifier.preprocessing),
    }
    text, path = json.dumps(facts, indent=1) + "\n", folder / "origin.json"
    if path.exists() and read_text(path) != text:
        raise BenchError(f"{folder}: gradients of other weights, data or settings; choose another --output")
    if not path.exists():
        write_text_atomically(path, text)


@click.command(help=__doc__)
@click.option("--config", required=True, type=click.Path(path_type=Path))
@click.option("--model", default="resnet50", show_default=True, help="Table 2 is of ResNet-50.")
@click.option("--limit", type=int)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
@click.option("--output", required=True, type=click.Path(path_type=Path))
def main(config: Path, model: str, limit: int | None, overrides: tuple[str, ...], output: Path) -> None:
    """Compute the gradients, apply every reading, and print the table."""
    settings = [*overrides, *([f"limit={limit}"] if limit else [])]
    pairs = list(gradients(load_config(config, settings, [model]), model, output / "gradients"))
    found = table(pairs)
    write_text_atomically(output / "readings.csv", found.to_csv(index=False, lineterminator="\n"))
    counts = np.array([[int((block > 0).sum()) for block in blocks] for blocks in pairs]).mean(axis=0)
    paper: dict[Any, Any] = {"reading": "*paper*", **_by_block(published_shares())}
    rows = [paper, *found.to_dict("records")]
    text = tabulate(rows, headers="keys", tablefmt="github", floatfmt=".3f")
    positive_maps = ", ".join(f"{count:.1f}" for count in counts)
    text = f"{len(pairs)} pairs, {len(found)} readings. Positive maps per block: {positive_maps}\n\n{text}\n"
    write_text_atomically(output / "readings.md", text)
    click.echo(text)


if __name__ == "__main__":
    main()
