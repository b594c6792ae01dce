"""Counted keys are those that a list would hold."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adasise_bench.records.planned_keys import KeySet, PlannedKeys
from adasise_bench.records.record import Key

classes = st.lists(st.sampled_from(["cat", "dog", None]), unique=True, max_size=3)


@given(
    st.lists(st.sampled_from("ab"), unique=True),
    st.lists(st.sampled_from("xyz"), unique=True),
    st.dictionaries(st.sampled_from("12345"), classes),
    st.randoms(use_true_random=False),
)
def test_positions_are_those_in_the_list(models, methods, images, random) -> None:  # type: ignore[no-untyped-def]
    planned = PlannedKeys(models, methods, images, images.__getitem__)
    listed = [Key(a, b, i, c) for a in models for b in methods for i in images for c in images[i]]
    assert list(planned) == listed
    assert len(planned) == len(listed)
    assert [planned.position(key) for key in listed] == list(range(len(listed)))
    for stranger in (Key("c", "x", "1", "cat"), Key("a", "x", "9", "cat"), Key("a", "x", "1", "bird")):
        assert planned.position(stranger) is None
    by_image = {key for model in models for image in images for key in planned.of_image(model, image)}
    assert by_image == set(listed)
    flags = np.array([random.random() < 0.5 for _ in listed], np.bool_)
    chosen = KeySet(planned, flags)
    assert [key for key in listed if key in chosen] == [k for k, f in zip(listed, flags, strict=True) if f]
    assert len(chosen) == flags.sum()
    assert Key("c", "x", "1", "cat") not in chosen
