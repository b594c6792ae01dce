"""The values of a run: the same whether read at once or a column at a time, in any order and any layout."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from baseline_folders import all_of
from hypothesis import given, settings
from hypothesis import strategies as st

from adasise_bench.metrics.registry import QUALITY
from adasise_bench.records.reading import in_memory, reader
from adasise_bench.records.record import SCHEMA
from adasise_bench.records.row_groups import within
from adasise_bench.regression.matching import SIDES, have_a_pair_in_common, matched
from adasise_bench.regression.values import KEY, VALUES, Values, places_among, sorted_values
from adasise_bench.utils.errors import DataError

KEYS = [*product(["resnet50", "vgg16"], ["ada_sise", "sise"], ["000001", "000002", "000010"],
                 ["", "bird", "person"])]  # fmt: skip
CHOSEN = st.lists(st.sampled_from(KEYS), unique=True, max_size=len(KEYS)).map(tuple)


def record(key: tuple[str, ...], number: int) -> dict[str, Any]:
    """A record of this key with values that tell which one it is; every fifth is an error."""
    made = dict(zip(KEY, key, strict=True)) | {"class_name": key[3] or None}
    if number % 5 == 4:
        return made | {"error": f"torn {number}"}
    numbers = {name: number + place / 8 + 1e-9 for place, name in enumerate(QUALITY)}
    return made | numbers | {
        "maps_kept": [number, 3], "degenerate": number % 3 == 0, "seconds": number + 0.123456,
        "seconds_plain_forward": 0.1, "forwards": number,
    }  # fmt: skip


def table(keys: tuple[tuple[str, ...], ...]) -> pa.Table:
    """A record for each key, with values that do not depend on the order."""
    return pa.Table.from_pylist([record(key, KEYS.index(key)) for key in keys], SCHEMA)


def rows(values: Values) -> list[dict[str, Any]]:
    """All values as plain data, nothing as ``None``."""
    frame = all_of(values)
    cells = {
        name: [None if cell is pd.NA or cell != cell else cell for cell in frame[name]]
        for name in frame.columns.difference(["maps_kept"])
    }
    cells["maps_kept"] = pa.array(frame["maps_kept"]).to_pylist()
    return pd.DataFrame(cells, dtype=object).to_dict("records")


@settings(max_examples=40, deadline=None)
@given(CHOSEN.filter(len), st.randoms())
def test_rows_are_sorted_and_rounded_and_their_order_in_the_file_does_not_matter(
    keys: tuple[tuple[str, ...], ...], random: Any
) -> None:
    values = sorted_values(in_memory(table(keys)))
    expected = []
    for key in sorted(keys):
        made = dict.fromkeys((*KEY, *VALUES)) | record(key, KEYS.index(key)) | {"class_name": key[3]}
        for name in QUALITY:
            made[name] = None if made[name] is None else round(made[name], 6)
        if made["seconds"] is not None:
            made["seconds"] = float(f"{made['seconds']:.4g}")
        expected.append(made)
    assert rows(values) == expected
    shuffled = list(keys)
    random.shuffle(shuffled)
    assert rows(sorted_values(in_memory(table(tuple(shuffled))))) == expected


@settings(max_examples=40, deadline=None)
@given(CHOSEN.filter(len))
def test_groups_are_the_rows_of_each_method_on_each_network(keys: tuple[tuple[str, ...], ...]) -> None:
    values = sorted_values(in_memory(table(keys)))
    assert list(values.groups) == sorted({key[:2] for key in keys})
    assert len(values) == len(keys)
    for group, own in values.groups.items():
        pairs = sorted(key[2:] for key in keys if key[:2] == group)
        found = values.pair_names(values.pairs(own))
        assert [*zip(*(names.to_pylist() for names in found), strict=True)] == pairs
        assert own.stop - own.start == len(pairs)


@settings(max_examples=40, deadline=None)
@given(CHOSEN.filter(len), CHOSEN.filter(len))
def test_pairs_are_matched_as_a_plain_loop_matches_them(
    one: tuple[tuple[str, ...], ...], other: tuple[tuple[str, ...], ...]
) -> None:
    base, new = (sorted_values(in_memory(table(keys))) for keys in (one, other))
    found = []
    for pairs in matched(base, new):
        columns = [pairs.column("forwards", side).tolist() for side in SIDES]
        there = [pairs.has(side).tolist() for side in SIDES]
        for number in range(len(pairs)):
            name = (pairs.model, pairs.method, pairs.name(number))
            found.append((name, *(side[number] for side in there), *(side[number] for side in columns)))
    expected = []
    for key in sorted({*one, *other}):
        there = [key in side for side in (one, other)]
        value = record(key, KEYS.index(key)).get("forwards")
        name = (*key[:2], f"{key[2]} {key[3]}".strip())
        expected.append((name, *there, *(value if has and value is not None else np.nan for has in there)))
    np.testing.assert_equal(found, expected)
    assert have_a_pair_in_common(base, new) == bool({*one} & {*other})


@settings(max_examples=40, deadline=None)
@given(CHOSEN.filter(len), CHOSEN.filter(len), st.integers(1, 5))
def test_pairs_in_parts_are_the_pairs(
    one: tuple[tuple[str, ...], ...], other: tuple[tuple[str, ...], ...], size: int
) -> None:
    base, new = (sorted_values(in_memory(table(keys))) for keys in (one, other))
    for pairs in matched(base, new):
        parts = [pairs.part(start, start + size) for start in range(0, len(pairs), size)]
        assert sum(map(len, parts)) == len(pairs)
        names = [part.name(number) for part in parts for number in range(len(part))]
        assert names == [pairs.name(number) for number in range(len(pairs))]
        for side, name in product(SIDES, ("maps_kept", "bbox", "error")):
            found = [cell for part in parts for cell in part.column(name, side).astype(object)]
            whole = list(pairs.column(name, side).astype(object))
            assert list(map(str, found)) == list(map(str, whole))


def test_only_the_groups_of_rows_that_are_asked_for_are_read(tmp_path: Path, monkeypatch: Any) -> None:
    keys = tuple(KEYS)
    pq.write_table(table(keys), tmp_path / "records.parquet", row_group_size=4, write_page_checksum=True)
    values = sorted_values(reader(tmp_path))
    whole = sorted_values(in_memory(table(keys)))
    read: list[int] = []
    taken = pq.ParquetFile.read_row_group

    def noted(self: pq.ParquetFile, index: int, columns: Any = None) -> pa.Table:
        read.append(index)
        return taken(self, index, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    group = values.groups["vgg16", "ada_sise"]
    assert (group.start, group.stop) == (18, 27)
    assert values.column("bbox", group).equals(whole.column("bbox", group))
    assert read == [4, 5, 6]


def test_rows_are_read_across_the_parts_of_a_folder(tmp_path: Path) -> None:
    whole = table(tuple(KEYS))
    (tmp_path / "records.parquet").mkdir()
    for number, start in enumerate(range(0, len(whole), 10)):
        part = tmp_path / "records.parquet" / f"{number}.parquet"
        pq.write_table(whole[start : start + 10], part, row_group_size=3)
    read = reader(tmp_path)
    for start, stop in ((0, 36), (8, 12), (9, 31), (10, 20), (35, 36), (5, 5), (0, 0)):
        found = pa.concat_tables(read(["image_id", "ebpg"], slice(start, stop)))
        assert found.equals(whole.select(["image_id", "ebpg"])[start:stop]), (start, stop)


@pytest.mark.parametrize("parts", [1, 3])
def test_runs_of_earlier_versions_lack_columns_that_are_then_empty(tmp_path: Path, parts: int) -> None:
    whole = table(tuple(KEYS)).drop_columns(["seconds_plain_forward"])
    file = tmp_path / "records.parquet"
    if parts > 1:
        file.mkdir()
    for number in range(parts):
        start, stop = (len(whole) * place // parts for place in (number, number + 1))
        pq.write_table(whole[start:stop], file / f"{number}.parquet" if parts > 1 else file)
    values = sorted_values(reader(tmp_path))
    for rows in (*values.groups.values(), slice(0, 0), slice(0, None)):
        found = values.column("seconds_plain_forward", rows)
        assert len(found) == len(values.places[rows])
        assert found.isna().all()
    assert values.column("seconds").notna().any()


def test_rows_far_from_the_others_do_not_make_those_between_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adasise_bench.regression.values._GAP", 3)
    order = [1, 2, *range(4, len(KEYS)), 3, 0]
    shuffled = table(tuple(KEYS[number] for number in order))
    read: list[tuple[int, int]] = []
    plain = in_memory(shuffled)

    def noted(columns: Any, rows: slice = slice(0, None)) -> Any:
        if columns == ["bbox"]:
            read.append((rows.start, rows.stop))
        return plain(columns, rows)

    values, expected = sorted_values(noted), sorted_values(in_memory(table(tuple(KEYS))))
    group = values.groups["resnet50", "ada_sise"]
    assert values.column("bbox", group).equals(expected.column("bbox", group))
    assert read == [(0, 7), (34, 36)]


def test_a_file_that_is_replaced_while_it_is_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "records.parquet"
    pq.write_table(table(tuple(KEYS)), file)
    values = sorted_values(reader(tmp_path))
    pq.write_table(table(tuple(KEYS[1:])), file)
    with pytest.raises(DataError, match="was replaced while it was read; give the command again"):
        values.column("bbox")


def test_of_two_rows_with_one_key_the_first_counts() -> None:
    twice = pa.concat_tables([table(tuple(KEYS[:2])), table((KEYS[0],)).set_column(
        SCHEMA.get_field_index("ebpg"), "ebpg", pa.array([77.0]))])  # fmt: skip
    assert sorted_values(in_memory(twice)).column("ebpg").tolist() == [0.0, 1.0]


@given(st.integers(0, 20), st.integers(0, 20), st.lists(st.integers(0, 6), max_size=5))
def test_the_rows_of_parts_are_those_of_the_whole(start: int, stop: int, lengths: list[int]) -> None:
    found, before = [], 0
    for length in lengths:
        found += list(range(before, before + length))[within(slice(start, stop), before, length)]
        before += length
    assert found == list(range(before))[start:stop]


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_places_among_pairs(own: set[int], others: set[int]) -> None:
    pairs = np.array(sorted(own | others), np.int64)
    places = places_among(pairs, np.array(sorted(own), np.int64))
    if places is None:
        assert own >= others
        return
    assert [sorted(own)[place] if place >= 0 else None for place in places] == [
        pair if pair in own else None for pair in pairs.tolist()
    ]
