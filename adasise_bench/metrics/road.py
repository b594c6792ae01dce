"""ROAD: pixels are removed by filling them in from their surroundings."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from adasise_bench.metrics.pixels import share_of_pixels
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.scoring import filled_batch, in_batches
from adasise_bench.utils.errors import BenchError

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Which shares of the pixels are removed."""

NOISE = 0.01
"""Standard deviation of the noise on removed pixels, as a share of the range from black to white."""

NOISE_SEED = 0
"""Where the random numbers of the noise begin."""

_WEIGHTS = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}
"""The weights of a pixel's neighbours, by row and column; each holds for the opposite neighbour, too."""


def road(classifier: Classifier, image: torch.Tensor, target: int, order: torch.Tensor) -> float:
    """How much more the score Ψ keeps if the map's lowest pixels are removed instead of its highest ones.

    Removed pixels get the values of :func:`imputed` and Gaussian noise, so that the network sees no edge
    around them. The value is half the difference between Ψ without the lowest pixels (least relevant first)
    and Ψ without the highest ones (most relevant first), on average over :data:`SHARES` of the pixels.

    Source: Rong et al., A Consistent and Efficient Evaluation Strategy for Attribution Methods, ICML 2022
    (arXiv 2202.00449); the combination of both orders is that of pytorch-grad-cam.

    Args:
        classifier: gives Ψ, and says how pictures were preprocessed.
        image: (1, 3, H, W) float32 network input.
        target: number of the class among the outputs.
        order: (H·W,) int64, the pixels from the map's highest to its lowest.

    Returns:
        Percent; higher is better. From -50 to 50 for scores in [0, 1], any number for raw outputs. It is 0
        for a map that is no better than its reverse.

    Raises:
        BenchError: a score is not finite.

    Example:
        >>> from dataclasses import replace
        >>> from adasise_bench.data.transforms import Preprocessing
        >>> from adasise_bench.metrics.road import road
        >>> from adasise_bench.models.example import red_picture, two_colours
        >>> network = replace(two_colours(), preprocessing=Preprocessing(1, (0, 0, 0), (1, 1, 1)))
        >>> image = red_picture([[0.0, 1.0]])  # Ψ is 0 without the right pixel, and 1 without the left one
        >>> round(road(network, image, 0, torch.tensor([1, 0])))  # (1 - 0) / 2 for five of the nine shares
        28
    """
    shape = image.shape[2:]
    removed = [
        torch.zeros(len(order), dtype=torch.bool).index_fill(0, pixels, True).view(shape)
        for ordered in (order.cpu(), order.cpu().flip(0))
        for pixels in (ordered[: share_of_pixels(order, share)] for share in SHARES)
    ]
    inputs = _noisy(classifier, torch.cat([imputed(image, mask) for mask in removed]), torch.stack(removed))
    scores = _scores(classifier, image, inputs)[:, target].cpu()
    if not torch.isfinite(scores).all():
        raise BenchError("a score of a picture without some of its pixels is not finite")
    most, least = scores.double().chunk(2)
    return float(100 * (least - most).mean() / 2)


def imputed(image: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """Fill in pixels so that each is the weighted mean of its eight neighbours.

    Neighbours in the same row or column weigh 1/6, the others 1/12. At the border the weights of those that
    exist are scaled to the sum 1. Filled pixels can be neighbours of each other, so that a sparse linear
    system is solved.

    Source: noisy linear imputation of Rong et al. (arXiv 2202.00449), without the noise.

    Args:
        image: (1, 3, H, W) float32 network input.
        removed: (H, W) bool, the pixels to fill in; not all of them.

    Returns:
        (1, 3, H, W) float32, on the CPU.

    Example:
        >>> from adasise_bench.metrics.road import imputed
        >>> line = torch.tensor([[1.0, 0.0, 0.0, 4.0]]).expand(1, 3, 1, 4)
        >>> filled = imputed(line, torch.tensor([[False, True, True, False]]))
        >>> [round(value, 4) for value in filled[0, 0, 0].tolist()]
        [1.0, 2.0, 3.0, 4.0]
    """
    values, unknown = image[0].cpu().numpy().astype(np.float64), removed.cpu().numpy()
    numbers = np.full(unknown.shape, -1)
    numbers[unknown] = np.arange(unknown.sum())
    total, known = np.zeros(len(numbers[unknown])), np.zeros((len(numbers[unknown]), len(values)))
    rows, columns, entries = [], [], []
    places = np.argwhere(unknown)
    for (down, right), weight in _WEIGHTS.items():
        for sign in (1, -1):
            there = places + sign * np.array([down, right])
            own = np.flatnonzero(((there >= 0) & (there < unknown.shape)).all(axis=1))
            y, x = there[own].T
            total[own] += weight
            fixed = numbers[y, x] < 0
            known[own[fixed]] += weight * values[:, y[fixed], x[fixed]].T
            rows.append(own[~fixed])
            columns.append(numbers[y, x][~fixed])
            entries.append(np.full(len(rows[-1]), -weight))
    every = np.arange(len(total))
    cells = (
        np.concatenate([*entries, total]),
        (np.concatenate([*rows, every]), np.concatenate([*columns, every])),
    )
    system = coo_matrix(cells, shape=(len(total), len(total))).tocsc()
    filled = image.cpu().clone()
    if len(total):
        found = spsolve(system, known, permc_spec="MMD_AT_PLUS_A").reshape(known.shape)
        filled[0, :, torch.from_numpy(unknown)] = torch.from_numpy(found.T).to(filled)
    return filled


def _noisy(classifier: Classifier, inputs: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """The inputs with noise on their removed pixels; it is the same for every picture of a size."""
    preprocessing = classifier.preprocessing
    white = preprocessing.scale / torch.tensor(preprocessing.std).view(1, 3, 1, 1)
    noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(NOISE_SEED))
    return inputs + NOISE * white * noise * removed[:, None]


@torch.no_grad()
def _scores(classifier: Classifier, image: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Ψ of every class for (N, 3, H, W) inputs on the CPU, in whole batches: (N, C)."""

    def score(start: int, stop: int) -> torch.Tensor:
        batch = filled_batch(classifier, image, stop - start, lambda filled: filled.copy_(inputs[start:stop]))
        return classifier.reference_scores(batch)[: stop - start]

    return torch.cat([batch for _, batch in in_batches(classifier, len(inputs), score)])
