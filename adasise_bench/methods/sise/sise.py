"""SISE (arXiv 2010.00672) and Ada-SISE (arXiv 2102.07799): one method, two selectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field

from adasise_bench.data.rules import PROTOCOL, OtsuRule
from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.masking import ScoredMaps, layer_map, numbers_of, score_masks, varying
from adasise_bench.methods.precision_check import (
    agreeing_precisions,
    in_precision,
    sample_of_maps,
    told,
)
from adasise_bench.methods.sise.fusion import RAISED_DEFINITION, FusionName, fuse, min_max
from adasise_bench.methods.sise.selectors import SelectorName, normalized, threshold
from adasise_bench.models.classifier import BlockMaps, Classifier
from adasise_bench.utils.devices import to_float64
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.precision import PrecisionName
from adasise_bench.utils.timing import PhaseClock


class Sise(Method):
    """Semantic Input Sampling for Explanation (SISE): feature maps are masks, and their scores are weights.

    Every block of the network gives feature maps. Those whose summed gradient is positive become masks on the
    picture. Their mean, weighted by the score Ψ that each mask leaves, is the block's layer map, and the
    layer maps are fused from the input to the output. ``selector``, ``mu``, ``fusion`` and ``otsu`` vary the
    steps.

    Map: (H, W) float32, from 0 to 1.

    Source: Sattarzadeh et al., AAAI 2021 (arXiv 2010.00672).

    Example:
        >>> from adasise_bench.methods.sise.sise import Sise
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(Sise(), red=[[0, 2], [0, 6]])  # keeps the map of red, drops that of green
        >>> found.maps_kept, [[round(value, 2) for value in row] for row in found.saliency.tolist()]
        ([1], [[0.0, 0.33], [0.0, 1.0]])
    """

    ruled: ClassVar[tuple[str, ...]] = ("otsu",)

    name: Literal["sise"] = "sise"
    selector: SelectorName = "fixed"
    mu: float = Field(0.0, ge=0, lt=1, description="threshold of the `fixed` selector")
    fusion: FusionName = "hard"
    otsu: OtsuRule = Field(
        PROTOCOL.otsu, description="`raised`: Otsu's threshold 1.5 times as high where few pixels reach that"
    )

    def identity(self) -> dict[str, Any]:
        """Leave ``otsu`` out at its default: baselines and runs without the option stay valid."""
        options = super().identity()
        if self.otsu == PROTOCOL.otsu:
            del options["otsu"]
        return options

    def evidence(self) -> dict[str, str]:
        """The name of the definition of a threshold that is raised."""
        return {f"{self.label}.otsu": RAISED_DEFINITION} if self.otsu == "raised" else {}

    @property
    def group(self) -> str:
        """All selectors and fusions use the same masks, which are scored once."""
        return "sise"

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """The four phases of Ada-SISE's section 2.2; see :meth:`Method.explain`.

        Raises:
            BenchError: gradients or scores that are not finite.
        """
        return _explain(classifier, request.image, [(self, request.target)], clock)[0]

    def explain_together(self, classifier: Classifier, requests: Sequence[Request]) -> list[Explanation]:
        """Score the union of all requests' masks once; all requests are for one image."""
        asked = [(cast(Sise, request.method), request.target) for request in requests]
        return _explain(classifier, requests[0].image, asked, PhaseClock(classifier.device))

    @property
    def expected_share(self) -> Fraction:
        """The share of the feature maps that is expected to be kept: half of them (Ada-SISE, Table 2)."""
        return Fraction(1, 2)

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One for the feature maps, and one for each mask."""
        return 1 + int(sum(maps_available) * self.expected_share)

    def expected_backwards(self, maps_available: tuple[int, ...]) -> int:
        """One, for the gradients of all feature maps."""
        return 1

    @classmethod
    def expected_together(
        cls, methods: Sequence[Method], maps_available: tuple[int, ...], classes: int
    ) -> int:
        """One for the feature maps of all classes, and one for each mask that any class and method keeps.

        Of one class, the method that keeps most keeps what the others do, because all keep the maps with the
        highest gradients. Classes are taken to keep maps independently of each other.
        """
        share = max(cast(Sise, method).expected_share for method in methods)
        return 1 + int(sum(maps_available) * (1 - (1 - share) ** classes))

    def scored_inputs(self, maps_available: tuple[int, ...]) -> range:
        """The selected maps, whose number differs from picture to picture by about a fifth."""
        count = self.expected_forwards(maps_available) - 1
        return range(max(1, count * 4 // 5), count * 6 // 5 + 1)


class AdaSise(Sise):
    """Ada-SISE: SISE with a threshold on the gradients that adapts to each block.

    Fewer feature maps become masks, and the explanation is faster. ``selector`` says which threshold:
    ``printed`` is the paper's criterion as it is printed, ``otsu`` is Otsu's, and ``log-otsu`` is Otsu's on
    the logarithms of the gradients; see :func:`.threshold`.

    Map: (H, W) float32, from 0 to 1.

    Source: Sudhakar et al., ICASSP 2021 (arXiv 2102.07799), equations 1 to 6.

    Example:
        >>> from adasise_bench.methods.sise.sise import AdaSise
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(AdaSise(), red=[[0, 2], [0, 6]])
        >>> found.maps_kept, [[round(value, 2) for value in row] for row in found.saliency.tolist()]
        ([1], [[0.0, 0.33], [0.0, 1.0]])
    """

    name: Literal["ada_sise"] = "ada_sise"  # type: ignore[assignment]
    selector: SelectorName = "printed"

    @property
    def expected_share(self) -> Fraction:
        """Two thirds of SISE's (Ada-SISE, Table 2)."""
        return super().expected_share if self.selector == "fixed" else Fraction(1, 3)


def _explain(
    classifier: Classifier,
    image: torch.Tensor,
    asked: Sequence[tuple[Sise, int]],
    clock: PhaseClock,
) -> list[Explanation]:
    """Explanations by several selectors and of several classes. Each mask is scored once for all of them."""
    targets = sorted({target for _, target in asked})
    with clock.phase("feature_maps"):
        blocks = classifier.block_maps(image, targets)
    with clock.phase("selection"):
        gradients, usable = _on_host(blocks)
        selections = [
            _Selection.of([block[targets.index(target)] for block in gradients], usable, method, target)
            for method, target in asked
        ]
    with clock.phase("scoring"):
        precisions = [_trusted(classifier, image, blocks, selection) for selection in selections]
    found: dict[int, Explanation] = {}
    for precision in dict.fromkeys(precisions):
        members = [number for number, other in enumerate(precisions) if other == precision]
        together = [selections[number] for number in members]
        scored = _explain_in(in_precision(classifier, precision), image, blocks, together, clock)
        for number, explanation in zip(members, scored, strict=True):
            found[number] = replace(explanation, mask_precision=told(classifier, precision))
    return [found[number] for number in range(len(selections))]


def _trusted(
    classifier: Classifier, image: torch.Tensor, blocks: Sequence[BlockMaps], selection: _Selection
) -> PrecisionName:
    """The precision for one explanation's masks, by a sample of these masks alone."""

    def sample() -> list[torch.Tensor]:
        chosen = numbers_of(selection.live, image.device)
        maps = [block.maps[numbers] for block, numbers in zip(blocks, chosen, strict=True)]
        return sample_of_maps(maps, (image.shape[2], image.shape[3]))

    return agreeing_precisions(classifier, image, sample, [selection.target])[0]


def _explain_in(
    classifier: Classifier,
    image: torch.Tensor,
    blocks: Sequence[BlockMaps],
    selections: Sequence[_Selection],
    clock: PhaseClock,
) -> list[Explanation]:
    """Explanations whose masks are scored in the precision of ``classifier``, each mask once."""
    with clock.phase("selection"):
        unions = [
            torch.stack([selection.live[number] for selection in selections]).any(dim=0)
            for number in range(len(blocks))
        ]
        chosen = numbers_of(unions, image.device)
        maps = [block.maps[numbers] for block, numbers in zip(blocks, chosen, strict=True)]
    with clock.phase("scoring"):
        scored = score_masks(classifier, image, maps)
    with clock.phase("fusion"):
        size = (image.shape[2], image.shape[3])
        return [selection.explanation(scored, unions, size) for selection in selections]


def _on_host(blocks: Sequence[BlockMaps]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What the selection needs of the blocks, on the CPU, by one transfer instead of several per block.

    Returns:
        Per block the (T, K) float64 summed gradients, and which maps can be masks, (K,) bool.
    """
    tables = [torch.cat([block.gradients, to_float64(varying(block.maps)[None])]) for block in blocks]
    parts = torch.split(torch.cat(tables, dim=1).cpu(), [len(block.maps) for block in blocks], dim=1)
    return [part[:-1] for part in parts], [part[-1] > 0 for part in parts]


@dataclass(frozen=True)
class _Selection:
    """The live ones of the feature maps that one method keeps for one class, per block, on the CPU."""

    method: Sise
    target: int
    live: list[torch.Tensor]
    maps_kept: list[int]
    maps_positive: list[int]

    @classmethod
    def of(
        cls, gradients: Sequence[torch.Tensor], usable: Sequence[torch.Tensor], method: Sise, target: int
    ) -> _Selection:
        if not all(torch.isfinite(block).all() for block in gradients):
            raise BenchError("the network's gradients are not finite for this picture")
        values = [normalized(block) for block in gradients]
        kept = [value > threshold(value, method.selector, method.mu) for value in values]
        maps_kept = [int(keep.sum()) for keep in kept]
        maps_positive = [int((value > 0).sum()) for value in values]
        live = [keep & able for keep, able in zip(kept, usable, strict=True)]
        return cls(method, target, live, maps_kept, maps_positive)

    def explanation(
        self, scored: Sequence[ScoredMaps], unions: Sequence[torch.Tensor], size: tuple[int, int]
    ) -> Explanation:
        """Fuse the layer maps of the kept maps, which are parts of the scored unions."""
        masks = [live[union] for live, union in zip(self.live, unions, strict=True)]
        chosen = numbers_of(masks, scored[0].scores.device)
        own = [maps.subset(numbers) for maps, numbers in zip(scored, chosen, strict=True)]
        if not torch.cat([maps.scores[:, self.target] for maps in own]).isfinite().all():
            raise BenchError("the network's scores of masked inputs are not finite for this picture")
        layers = [min_max(layer_map(maps, self.target, size)) for maps in own]
        saliency = fuse(layers, self.method.fusion, self.method.otsu).float().to(scored[0].maps.device)
        live = [len(maps.maps) for maps in own]
        return Explanation(saliency, 1 + sum(live), 1, self.maps_kept, self.maps_positive, live)
