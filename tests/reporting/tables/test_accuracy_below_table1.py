"""The network's accuracy in the tables of a run."""

from typing import Any

import pytest
from table_runs import Folder, build, classified, record, with_classes

from adasise_bench.reporting.tables import Tables
from adasise_bench.reporting.tables.accuracy import accuracy_notes
from adasise_bench.reporting.tables.formats import render
from adasise_bench.reporting.tables.look import Look
from adasise_bench.utils.errors import DataError


def test_accuracy_stands_below_table1_with_the_papers_figures(folder: Folder) -> None:
    path = folder([*classified("sise", whole=True), *classified("mine", whole=False)], change=with_classes)
    built = build(path)
    assert [table.name for table in built.tables] == ["table1", "accuracy"]
    cells = {cell.metric: cell for entry in built.tables[1].rows for cell in entry.cells}
    # cat: its two pictures are first and last of three by their scores. dog: its only one does not count.
    # car: last of three.
    cat, car = 1 / 2 + 1 / 3, 1 / 3
    assert cells["map_area"].measured == pytest.approx(100 * (cat + car) / 2)
    assert cells["map_eleven_points"].measured == pytest.approx(100 * ((6 + 5 * 2 / 3) / 11 + car) / 2)
    assert cells["top1"].measured == cells["top5"].measured == pytest.approx(200 / 3)
    assert cells["top5_pairs"].measured == 75
    counts = {name: cells[name].measured for name in ("pictures", "pairs", "classes")}
    assert counts == {"pictures": 3, "pairs": 4, "classes": 2}
    published = {name: cell.published for name, cell in cells.items() if cell.published is not None}
    assert published == {"map_eleven_points": 87.96, "map_area": 87.96, "top1": 87.96} | dict.fromkeys(
        ("top5", "top5_pairs"), 93.09
    )
    assert any(note.startswith("Published accuracy: ") for note in built.notes)


def test_other_data_has_no_published_accuracy(folder: Folder) -> None:
    def elsewhere(config: dict[str, Any], environment: dict[str, Any]) -> None:
        with_classes(config, environment)
        environment["data"]["name"] = "VOC 2012 val"

    built = build(folder(classified("sise", whole=True), change=elsewhere))
    assert all(cell.published is None for row in built.tables[1].rows for cell in row.cells)
    assert not any(note.startswith("Published accuracy: ") for note in built.notes)


@pytest.mark.parametrize(
    "damage",
    [
        {"class_scores": [0.5] * 6},
        {"classes_annotated": [7]},
        {"classes_annotated": []},
        {"classes_annotated": None},
        {"classes_difficult": [3]},
    ],
)
def test_scores_of_other_classes_are_refused(folder: Folder, damage: dict[str, Any]) -> None:
    whole = {"class_scores": [0.5] * 7, "classes_annotated": [0], "classes_difficult": []} | damage
    path = folder([record("sise", "1", "cat", ebpg=1.0, **whole)], change=with_classes)
    with pytest.raises(DataError, match=r"run: damaged: resnet50 1: class_scores that are not of 7 classes"):
        build(path)


def test_the_number_of_images_has_one_name_in_all_tables(folder: Folder) -> None:
    """The names that programs read stay what they were."""
    built = build(folder(classified("sise", whole=True), change=with_classes))
    table1, accuracy = built.tables
    assert {"Images", "Pairs"} <= {row.title for row in table1.rows} & {row.title for row in accuracy.rows}
    assert [row.cells[0].metric for row in accuracy.rows if row.title == "Images"] == ["pictures"]
    for fmt in ("terminal", "md", "latex"):
        text = render(Tables((accuracy,), tuple(accuracy_notes([accuracy]))), fmt, look=Look(notes="all"))
        assert "image" in text
        assert "picture" not in text.lower()
