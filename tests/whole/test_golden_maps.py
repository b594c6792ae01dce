"""Maps stay what they were under their definition's name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_maps import FOLDER, TOLERANCE, golden_map, golden_path, network, tolerance

from adasise_bench.methods.masking import ScoredMaps
from adasise_bench.methods.registry import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_a_map_is_what_git_has_under_its_definition(method: str) -> None:
    expected = np.load(golden_path(method))
    assert expected.dtype == np.float32
    assert expected.min() < expected.max()
    np.testing.assert_allclose(golden_map(method), expected, atol=tolerance(expected), rtol=0)


def test_every_file_belongs_to_a_definition() -> None:
    assert {golden_path(method) for method in METHODS} <= set(FOLDER.iterdir())
    assert len({method.definition for method in METHODS.values()}) == len(METHODS)


def test_ada_sise_and_sise_keep_different_maps() -> None:
    sise, ada_sise = (np.load(golden_path(method)) for method in ("sise", "ada_sise"))
    assert np.abs(sise - ada_sise).max() > 10 * TOLERANCE


def test_a_small_mistake_is_beyond_the_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving out the division by the masks' sums, the smallest of the planted mistakes, is seen."""
    subset = ScoredMaps.subset

    def without_sums(self: ScoredMaps, chosen: torch.Tensor) -> ScoredMaps:
        kept = subset(self, chosen)
        return ScoredMaps(kept.maps, kept.scores, kept.spans, torch.ones_like(kept.sums))

    monkeypatch.setattr(ScoredMaps, "subset", without_sums)
    assert np.abs(golden_map("sise", network()) - np.load(golden_path("sise"))).max() > TOLERANCE
