"""File names of two names: no two pairs share one, and ordinary ones stay as they are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adasise_bench.utils.file_names import file_name

names = st.text(alphabet="aAbB_~-/. %ä", min_size=1, max_size=4)


@settings(max_examples=2000, deadline=None)
@given(st.tuples(names, names), st.tuples(names, names))
def test_other_names_have_another_file(one: tuple[str, str], other: tuple[str, str]) -> None:
    same = file_name(*one).casefold() == file_name(*other).casefold()
    assert same == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "red_mug"), ("a_red", "mug")),
        (("a", "Mug"), ("a", "mug")),
        (("A", "mug"), ("a", "mug")),
        (("a", "pen/pencil"), ("a", "pen-pencil")),
        (("x" * 239, "dog"), ("x" * 240, "dog")),
        (("caf\u00e9", "dog"), ("cafe\u0301", "dog")),
    ],
)
def test_these_were_one_file_somewhere(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert file_name(*one).casefold() != file_name(*other).casefold()


@pytest.mark.parametrize("pair", [("000001", "dog"), ("kitchen_2", "hair drier"), ("ada_sise", "disc")])
def test_ordinary_names_are_joined(pair: tuple[str, str]) -> None:
    assert file_name(*pair) == "_".join(pair)


@given(st.text(max_size=300), st.text(max_size=300))
def test_every_name_is_one_that_file_systems_take(first: str, second: str) -> None:
    name = file_name(first, second)
    assert len(name.encode()) <= 140
    assert not set(name) & set('/\\:*?"<>|\0\n')
