"""Tables by class, size, score and outcome."""

from typing import Any

import pytest
from table_runs import Folder, build, classified, many, record, with_classes

from adasise_bench.utils.errors import ConfigError, DataError


def test_groups_by_class_and_size_hold_every_pair_once(folder: Folder) -> None:
    path = folder(many({"sise": float, "mine": lambda image: 2.0 * image}))
    (classes,) = build(path, by="class", metrics=["ebpg"]).tables
    assert (classes.name, classes.columns) == ("by_class", ("sise", "mine"))
    assert [entry.title for entry in classes.rows] == ["cat (4 pairs)", "dog (12 pairs)", "all (16 pairs)"]
    assert [entry.cells[0].measured for entry in classes.rows] == [4.5, 5.5, 5.25]
    assert [entry.cells[0].group for entry in classes.rows] == ["cat", "dog", None]
    sizes, differences = build(path, by="size", metrics=["ebpg"], against="sise").tables
    assert [entry.title for entry in sizes.rows] == [
        "small (2 pairs)",
        "medium (12 pairs)",
        "large (2 pairs)",
        "all (16 pairs)",
    ]
    assert differences.name == "differences_by_size"
    means = [entry.cells[0].measured for entry in differences.rows]
    assert means == [0.0, pytest.approx(63 / 12), 10.5, 5.25]


@pytest.mark.parametrize(
    ("share", "size"),
    [(6.24, "small"), (6.25, "medium"), (24.9, "medium"), (25.0, "large"), (100.0, "large")],
)
def test_sizes_begin_at_their_bounds(folder: Folder, share: float, size: str) -> None:
    path = folder([record("sise", "1", ebpg=1.0, box_share=share)])
    (table,) = build(path, by="size", metrics=["ebpg"]).tables
    assert [entry.cells[0].group for entry in table.rows if entry.cells[0].n] == [size, None]


@pytest.mark.parametrize(
    ("score", "group"),
    [
        (0.0, "under 0.01"),
        (0.00999, "under 0.01"),
        (0.01, "0.01 to 0.99"),
        (0.99, "0.01 to 0.99"),
        (0.9901, "over 0.99"),
        (1.0, "over 0.99"),
    ],
)
def test_ranges_of_scores_begin_at_their_bounds(folder: Folder, score: float, group: str) -> None:
    path = folder([record("sise", "1", drop=1.0, score=score)])
    (table,) = build(path, by="score", metrics=["drop"]).tables
    assert table.name == "by_score"
    assert [entry.cells[0].group for entry in table.rows if entry.cells[0].n] == [group, None]


def test_metrics_are_split_at_the_ends_of_the_score_and_pairs_there_are_counted_once(folder: Folder) -> None:
    scores = {"1": 0.001, "2": 0.002, "3": 0.5, "4": 0.6, "5": 0.999}
    records = [
        record(method, image, drop=offset + int(image), score=score)
        for method, offset in (("sise", 0), ("mine", 10))
        for image, score in scores.items()
    ]
    records += [record("mine", "6", error="out of memory"), record("sise", "7", None, error="unreadable")]
    built = build(folder(records), by="score", metrics=["drop"])
    (table,) = built.tables
    assert [entry.title for entry in table.rows] == [
        "under 0.01 (2 pairs)",
        "0.01 to 0.99 (2 pairs)",
        "over 0.99 (1 pair)",
        "all (5 pairs)",
    ]
    assert [entry.cells[0].measured for entry in table.rows] == [1.5, 3.5, 5.0, 3.0]
    assert [entry.cells[1].measured for entry in table.rows] == [11.5, 13.5, 15.0, 13.0]
    (note,) = [note for note in built.notes if "under 0.01" in note]
    assert note.startswith(
        "ResNet-50: of 5 pairs, the score of the class is under 0.01 in 2 (40.0 %) "
        "and over 0.99 in 1 (20.0 %)"
    )


def test_raw_outputs_have_no_ends(folder: Folder) -> None:
    def raw(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["score"] = "logit"

    path = folder([record("sise", "1", drop=1.0, score=-7.0)], change=raw)
    assert not any("under 0.01" in note for note in build(path).notes)
    with pytest.raises(
        ConfigError, match=r"^--by score: .*run has raw outputs .* choose class, size or outcome$"
    ):
        build(path, by="score")


def test_pairs_are_split_by_the_place_of_their_class(folder: Folder) -> None:
    path = folder([*classified("sise", whole=True), *classified("mine", whole=False)], change=with_classes)
    built = build(path, by="outcome", metrics=["drop"])
    (table,) = built.tables
    titles = ["ranked first (2 pairs)", "ranked 2 to 5 (1 pair)", "ranked below 5 (1 pair)", "all (4 pairs)"]
    assert [entry.title for entry in table.rows] == titles
    assert [entry.cells[0].measured for entry in table.rows] == [10.0, 20.0, 70.0, 27.5]
    assert any(note.startswith("Outcome: ") for note in built.notes)


@pytest.mark.parametrize(
    ("place", "group"),
    [(1, "ranked first"), (2, "ranked 2 to 5"), (5, "ranked 2 to 5"), (6, "ranked below 5")],
)
def test_outcomes_begin_at_their_places(folder: Folder, place: int, group: str) -> None:
    path = folder([record("sise", "1", drop=1.0, rank=place)])
    (table,) = build(path, by="outcome", metrics=["drop"]).tables
    assert [entry.cells[0].group for entry in table.rows if entry.cells[0].n] == [group, None]


def test_folders_of_an_earlier_version_have_no_accuracy_and_no_outcomes(folder: Folder) -> None:
    path = folder([record("sise", "1", ebpg=1.0)])
    assert [table.name for table in build(path).tables] == ["table1"]
    with pytest.raises(DataError, match=r"^--by outcome: no record of these runs tells the rank"):
        build(path, by="outcome")
