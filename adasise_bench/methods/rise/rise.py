"""RISE (Petsiuk, Das, Saenko, BMVC 2018): the mean of random masks, weighted by the score each leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.masking import masked_scores
from adasise_bench.methods.precision_check import (
    SAMPLE,
    agreeing_precisions,
    in_precision,
    spread,
    told,
)
from adasise_bench.methods.rise.random_masks import RandomMasks
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.scoring import in_batches
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.timing import PhaseClock

_MASKS = 8000
_MASKS_OF = {"vgg16": 4000}


class Rise(Method):
    """Randomized Input Sampling for Explanation (RISE): S = Σ Ψ(I⊙m) m / (N p) over N random masks m.

    A mask is a grid of 7 x 7 cells, each of which is 1 with probability p = 0.5, else 0. N is 8000, or 4000
    for VGG16. These are the numbers of the paper and, except for VGG16, the defaults of TorchRay's ``rise``.
    (The example in the authors' repository takes 6000 masks of 8 x 8 cells with p = 0.1.) The masks are
    enlarged and shifted as in the authors' code; the cells of TorchRay are an eighth smaller. No layer of the
    network is looked at. The tool computes the method itself: all classes of a picture share the forward
    passes, and no mask is kept.

    The masks depend on ``seed`` and the size of the input only. They are the same for all pictures, classes
    and devices. Negative values, which only raw outputs as Ψ can give, become 0.

    Map: (H, W) float32, at least 0, in units of the score Ψ.

    Source: Petsiuk et al., BMVC 2018 (arXiv 1806.07421), equation 6.

    Example:
        >>> from adasise_bench.methods.rise.rise import Rise
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(Rise(masks=200), red=[[0, 2], [0, 6]])
        >>> int(found.saliency.argmax()), found.forwards  # the pixel with 6 counts most, in 200 passes
        (3, 200)
    """

    name: Literal["rise"] = "rise"
    masks: int | None = Field(None, ge=1, description="number of masks; default: 4000 for VGG16, else 8000")
    cells: int = Field(7, ge=2, description="cells of a mask's grid per side")
    p: float = Field(0.5, gt=0, lt=1, description="probability that a cell is kept")
    seed: int = Field(0, ge=0, lt=2**63, description="where the masks' random numbers begin")

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """Score the masks and add them up; see :meth:`Method.explain`.

        Raises:
            BenchError: scores that are not finite.
        """
        return self._explain(classifier, request.image, [request.target], clock)[0]

    def explain_together(self, classifier: Classifier, requests: Sequence[Request]) -> list[Explanation]:
        """Score the masks once for all classes; all requests are for one image."""
        targets = [request.target for request in requests]
        return self._explain(classifier, requests[0].image, targets, PhaseClock(classifier.device))

    def on_network(self, name: str) -> Rise:
        """With as many masks as the paper takes for the network, unless the configuration says how many."""
        return self.model_copy(update={"masks": self.masks or _MASKS_OF.get(name, _MASKS)})

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One for each mask."""
        return self.masks or _MASKS

    @classmethod
    def expected_together(
        cls, methods: Sequence[Method], maps_available: tuple[int, ...], classes: int
    ) -> int | None:
        """As many as for one class: the masks are the same for all."""
        return super().expected_together(methods, maps_available, 1)

    def scored_inputs(self, maps_available: tuple[int, ...]) -> range:
        """All masks: their number is always the same."""
        count = self.expected_forwards(maps_available)
        return range(count, count + 1)

    def _explain(
        self, classifier: Classifier, image: torch.Tensor, targets: Sequence[int], clock: PhaseClock
    ) -> list[Explanation]:
        count = self.on_network(classifier.name).expected_forwards(classifier.maps)
        with clock.phase("scoring"):
            size = (image.shape[2], image.shape[3])
            masks = RandomMasks(count, self.cells, self.p, size, self.seed, image.device)

            def sample() -> list[torch.Tensor]:
                numbers = spread(count, SAMPLE).tolist()
                return [torch.cat([masks.built(number, number + 1) for number in numbers])]

            precisions = agreeing_precisions(classifier, image, sample, targets)
            scores = {
                precision: _scores(in_precision(classifier, precision), image, masks, count)
                for precision in dict.fromkeys(precisions)
            }
        with clock.phase("fusion"):
            own = [
                scores[precision][:, target] for precision, target in zip(precisions, targets, strict=True)
            ]
            asked = torch.stack(own).cpu()
            if not torch.isfinite(asked).all():
                raise BenchError("the network's scores of masked inputs are not finite for this picture")
            maps = torch.stack([masks.weighted_sum(weights) / (count * self.p) for weights in asked])
            return [
                Explanation(one, count, 0, mask_precision=told(classifier, precision))
                for one, precision in zip(maps.clamp(min=0).float().to(image.device), precisions, strict=True)
            ]


def _scores(classifier: Classifier, image: torch.Tensor, masks: RandomMasks, count: int) -> torch.Tensor:
    """Ψ of every class under each of the masks, (``count``, C) float32."""
    scores = image.new_empty(count, len(classifier.classes))

    def score(start: int, stop: int) -> torch.Tensor:
        return masked_scores(classifier, image, masks.built(start, stop))

    for items, batch in in_batches(classifier, count, score):
        scores[items] = batch
    return scores
