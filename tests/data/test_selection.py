"""Shards part any list of pictures, and what is in one does not depend on what else there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasise_bench.data.selection import chosen_images, parse_shard, shard_of
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import default_folder
from adasise_bench.utils.errors import ConfigError


@given(st.lists(st.text(), unique=True), st.integers(1, 9), st.one_of(st.none(), st.integers(1, 50)))
def test_shards_part_the_pictures_and_keep_their_order(ids: list[str], count: int, limit: int | None) -> None:
    parts = [chosen_images(ids, None, 0, limit, f"{index}/{count}") for index in range(1, count + 1)]
    assert sorted(image_id for part in parts for image_id in part) == sorted(ids[:limit])
    for part in parts:
        assert part == [image_id for image_id in ids if image_id in set(part)]


def test_a_picture_stays_in_its_shard_for_good() -> None:
    """The numbers are what ``b2sum -l 64`` says, modulo 4, plus 1."""
    assert [shard_of(image_id, 4) for image_id in ("000001", "000002", "n01440764_10026", "")] == [3, 4, 4, 1]


def test_shards_are_about_equal() -> None:
    sizes = [len(chosen_images(map(str, range(10_000)), None, 0, None, f"{i}/10")) for i in range(1, 11)]
    assert max(abs(size - 1000) for size in sizes) < 120


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "1/0", "-1/4", "a/b", "1/4/2", "²/4", ""])
def test_other_texts_are_no_shard(text: str) -> None:
    with pytest.raises(ValueError, match="write it as I/N"):
        parse_shard(text)
    with pytest.raises(ConfigError, match="write it as I/N"):
        validate({"models": {"resnet50": {}}, "methods": ["sise"], "shard": text}, "test")


def test_a_shard_is_the_same_run_in_another_folder() -> None:
    tree = {"models": {"resnet50": {}}, "methods": ["sise"]}
    whole, shard = validate(tree, "test"), validate(tree | {"shard": "2/4"}, "test")
    assert shard.identity() == whole.identity()
    assert default_folder(shard).name == default_folder(whole).name + "-shard-2-of-4"
