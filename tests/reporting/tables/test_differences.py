"""Paired differences between methods."""

from typing import Any

import pytest
from table_runs import Folder, build, many, record, row

from adasise_bench.reporting.tables import Cell


def test_differences_are_paired(folder: Folder) -> None:
    records = many({"sise": lambda image: 8.0 * image, "ada_sise": lambda image: 9.0 * image + 1})
    records = [one for one in records if (one.method, one.image_id) != ("sise", "05")]
    records.append(record("mine", "77", ebpg=1.0))
    built = build(folder(records), against="sise")
    (differences,) = [table for table in built.tables if table.name == "differences"]
    assert differences.columns == ("ada_sise", "mine")
    ours, apart = row(differences, "EBPG, %").cells
    images = [image for image in range(12) if image != 5 for _ in range(1 + (image % 3 == 0))]
    assert ours.measured == pytest.approx(sum(image + 1 for image in images) / len(images))
    assert ours.excludes_zero
    assert (ours.against, ours.n, ours.images) == ("sise", 15, 11)
    assert ours.published == pytest.approx(66.4 - 66.08)
    assert (apart.measured, apart.n, apart.excludes_zero) == (None, 0, None)
    assert [cell.measured for cell in row(differences, "Pairs").cells] == [15, 0]
    assert any("not adjusted for the number of comparisons" in note for note in built.notes)


@pytest.mark.parametrize(
    ("low", "high", "against", "expected"),
    [
        (0.1, 0.2, "sise", True),
        (-0.2, -0.1, "sise", True),
        (-0.1, 0.1, "sise", False),
        (0.0, 0.1, "sise", False),
        (None, None, "sise", None),
        (0.1, 0.2, None, None),
    ],
)
def test_only_differences_exclude_zero(
    low: float | None, high: float | None, against: str | None, expected: bool | None
) -> None:
    assert Cell("m", "ebpg", 0.1, 9, 9, low=low, high=high, against=against).excludes_zero is expected


def test_run_times_of_different_machines_are_not_compared(folder: Folder) -> None:
    def on_gpu(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["device_name"] = "Tesla T4"

    here = folder([record("sise", image, seconds=2.0, ebpg=1.0) for image in "12"], "here")
    there = folder([record("mine", image, seconds=1.0, ebpg=2.0) for image in "12"], "there", on_gpu)
    built = build(here, there, against="sise")
    table, differences = built.tables
    assert not any(cell.best for cell in row(table, "Run-time, s").cells)
    assert row(differences, "EBPG, %").cells[0].measured == 1.0
    assert row(differences, "Run-time, s").cells[0].measured is None
    measured = "Run-time was measured on Some CPU, fp32 (2 pairs); Tesla T4, fp32 (2 pairs)"
    assert any(note.startswith(measured) for note in built.notes)


def test_pointing_over_classes_differs_and_groups_as_other_measures_do(folder: Folder) -> None:
    records = [
        record(method, f"{image:02}", name, pointing=100.0 * ((image + offset) % 3 == 0), box_share=50.0)
        for method, offset in (("sise", 0), ("mine", 1))
        for image in range(12)
        for name in ("dog", "cat")[: 1 + (image < 4)]
    ]
    path = folder(records)
    table, differences = build(path, metrics=["pointing"], against="sise").tables
    ours, mine = table.rows[0].cells
    assert ours.measured == pytest.approx((100 * 4 / 12 + 100 * 2 / 4) / 2)
    assert mine.measured == pytest.approx((100 * 4 / 12 + 100 * 1 / 4) / 2)
    (difference,) = differences.rows[0].cells
    assert difference.measured == pytest.approx(mine.measured - ours.measured)
    assert difference.low is not None
    (by_class,) = build(path, metrics=["pointing"], by="class").tables
    assert [entry.cells[0].measured for entry in by_class.rows] == [
        pytest.approx(50),
        pytest.approx(100 / 3),
        ours.measured,
    ]
