"""Tables with every kind of number and mark, for tests of formats."""

from adasise_bench.metrics.registry import Direction
from adasise_bench.reporting.tables import Cell, Row, Table, Tables

METHODS = ("extremal_perturbation", "sise", "odd_label")
NOTE = r"a_file & 50 % of #1: {x} \ ~ ^ $ <b> | é"


def _table1(model: str) -> Table:
    ebpg = (
        Cell(METHODS[0], "ebpg", 61.2, 153, 153, published=63.24, low=59.876, high=62.5, images=91),
        Cell(
            METHODS[1], "ebpg", 66.083, 150, 153, published=66.08, best=True, low=64.9, high=67.2, images=90
        ),
        Cell(METHODS[2], "ebpg", None, 0, 153),
    )
    seconds = (
        Cell(METHODS[0], "seconds", 87.4249, 153, 153, published=87.42),
        Cell(METHODS[1], "seconds", 0.04712, 153, 153, published=9.21, best=True),
        Cell(METHODS[2], "seconds", 0.5, 153, 153),
    )
    pairs = tuple(Cell(method, "pairs", 153, 153, 153) for method in METHODS)
    rows = (
        Row("EBPG, %", "up", "percent", ebpg),
        Row("Run-time, s", "down", "seconds", seconds),
        Row(
            "Boxes' area share, %",
            None,
            "percent",
            tuple(Cell(m, "box_share", 30.0, 9, 153) for m in METHODS),
        ),
        Row("Pairs", None, "count", pairs),
    )
    return Table("table1", model, f"Table 1, {model}", METHODS, rows)


def _table2() -> Table:
    available = tuple(Cell(None, f"maps_available_p{i}", 64 * i, None, None, 64 * i) for i in (1, 2))
    kept = tuple(Cell("sise", f"maps_kept_p{i}", 30.55 * i, 150, 150, 31) for i in (1, 2))
    rows = (Row("Available", None, "maps", available), Row("SISE, kept (150 pairs)", None, "maps", kept))
    return Table("table2", "resnet50", "Table 2, resnet50", ("p1", "p2"), rows)


def _differences() -> Table:
    def row(title: str, direction: Direction, *numbers: tuple[float, float, float]) -> Row:
        cells = (
            Cell(method, "x", mean, 153, 153, low=low, high=high, against="extremal_perturbation")
            for method, (mean, low, high) in zip(METHODS[1:], numbers, strict=True)
        )
        return Row(title, direction, "percent", tuple(cells))

    rows = (
        row("EBPG, %", "up", (2.5, 1.25, 3.75), (-1.0, -2.0, -0.5)),
        row("Drop, %", "down", (-0.25, -0.5, -0.125), (0.25, -0.5, 1.0)),
    )
    return Table("differences", "vgg16", "vgg16: differences", METHODS[1:], rows)


TABLES = Tables((_table1("vgg16"), _table1("resnet50"), _table2(), _differences()), ("First note.", NOTE))


def wide(columns: int) -> Tables:
    cells = tuple(
        Cell(f"method_{k}", "ebpg", 50.0 + k, 99, 99, low=49.0, high=80.0, images=50) for k in range(columns)
    )
    table = Table("table1", "vgg16", "Wide", tuple(f"method_{k}" for k in range(columns)), (
        Row("EBPG, %", "up", "percent", cells), Row("Bbox, %", "up", "percent", cells)))  # fmt: skip
    return Tables((table,), ())


def methods_by_metrics(methods: int) -> Tables:
    names = tuple(f"method_{k}" for k in range(methods))
    shared = Row("Pairs", None, "count", tuple(Cell(name, "pairs", 99, 99, 99) for name in names))
    rows = [
        Row(title, "up", "percent", tuple(
            Cell(name, title, 50.0 + k, 99, 99, 60.0 + k if k % 2 else None, k == 3, 49.0, 80.0, 50)
            for k, name in enumerate(names)))
        for title in ("EBPG, %", "Bbox, %", "mIoU, %")
    ]  # fmt: skip
    errors = Row("Errors", None, "count", tuple(Cell(n, "errors", k, k, k) for k, n in enumerate(names)))
    return Tables((Table("table1", "vgg16", "Wide", names, (*rows, shared, errors)),), ())
