"""Table 2: how many feature maps a method keeps."""

from table_runs import Folder, build, record

from adasise_bench.reporting.tables import Cell


def test_table2_averages_maps_per_block(folder: Folder) -> None:
    records = [
        record("sise", "1", maps_kept=[30, 100, 200, 500, 1000], maps_positive=[32, 100, 200, 500, 1000]),
        record("sise", "2", maps_kept=[33, 110, 201, 500, 1000], maps_positive=[32, 120, 202, 500, 1000]),
        record("mine", "2", maps_kept=[1, 2, 3, 4, 5]),
        record("ada_sise", "2", error="boom"),
        record("sise", "1", model="vgg16", maps_kept=[1, 2, 3, 4, 5]),
    ]
    *_, vgg16, resnet50 = build(folder(records)).tables
    available, kept, positive, mine = resnet50.rows
    assert [cell.measured for cell in available.cells] == [64, 256, 512, 1024, 2048]
    assert kept.cells[:2] == (
        Cell("sise", "maps_kept_p1", 31.5, n=2, of=2, published=31, images=2),
        Cell("sise", "maps_kept_p2", 105.0, n=2, of=2, published=130, images=2),
    )
    assert [cell.measured for cell in positive.cells] == [32, 110, 201, 500, 1000]
    assert kept.title == "SISE, kept (2 pairs)"
    assert mine.title == "mine, kept (1 pair)"
    assert [cell.published for cell in positive.cells + mine.cells] == [None] * 10
    assert [cell.published for cell in vgg16.rows[0].cells + vgg16.rows[1].cells] == [None] * 10


def test_table2_shows_live_maps_beside_those_kept(folder: Folder) -> None:
    counts = {"maps_kept": [30, 4, 3, 2, 1], "maps_live": [20, 4, 3, 2, 0], "maps_positive": [31, 5, 4, 3, 2]}
    records = [record("sise", "1", **counts), record("sise", "2", **counts | {"maps_live": [21, 4, 3, 2, 1]})]
    *_, table = build(folder(records)).tables
    titles = ["Available", "SISE, kept", "SISE, kept and live", "SISE, positive"]
    assert [entry.title for entry in table.rows] == titles
    assert [cell.measured for cell in table.rows[2].cells] == [20.5, 4, 3, 2, 0.5]
    assert [cell.published for cell in table.rows[2].cells] == [None] * 5
