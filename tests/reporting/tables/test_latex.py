"""Tables for a paper: they compile, fit into their column or page, and say all that the table has."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from latex_documents import compiled, needs_latex
from table_samples import TABLES, methods_by_metrics, wide

from adasise_bench.records.run import load_run
from adasise_bench.reporting.tables import Cell, Row, Table, Tables, build_tables
from adasise_bench.reporting.tables.footnotes import MOST_LINES, all_footnotes
from adasise_bench.reporting.tables.formats import render
from adasise_bench.reporting.tables.latex_notes import WIDTHS, printed_lines
from adasise_bench.reporting.tables.look import Look, Span

GOLDEN = Path(__file__).parents[2] / "golden" / "run_folder"

LONG = (
    "a_method_with_a_name_that_is_far_longer_than_any_column_of_a_page_or_even_the_whole_page_could_be_wide"
)


def latex_of(tables: Tables, **chosen: str) -> str:
    return render(tables, "latex", look=Look(**chosen))  # type: ignore[arg-type]


def _tall(lines: int, methods: int) -> Tables:
    names = tuple(f"m{k}" for k in range(methods))
    rows = tuple(
        Row(f"class{k}", "up", "percent", tuple(
            Cell(name, "ebpg", 10.0 * k + j, 9, 9, low=1.0, high=99.25, images=9, published=k)
            for j, name in enumerate(names)))
        for k in range(lines))  # fmt: skip
    return Tables(
        (Table("by_class", "vgg16", "VGG16 by class: EBPG, %", names, rows),), ("A note. " * 30,) * 9
    )


def _renamed(tables: Tables) -> Tables:
    """The same with a label that fits nowhere, in titles and notes, too."""

    def renamed(table: Table) -> Table:
        rows = tuple(replace(row, title=f"{row.title} {LONG}") for row in table.rows)
        return replace(table, columns=(LONG, *table.columns[1:]), rows=rows)

    notes = (*tables.notes, f"Maps from /a/{LONG}/{LONG}/{LONG}.")
    return Tables(tuple(map(renamed, tables.tables)), notes)


SAMPLES = [TABLES, wide(10), methods_by_metrics(30), _tall(80, 7), _renamed(TABLES)]


@needs_latex
@pytest.mark.parametrize("options", ["", "a4paper,twocolumn", "12pt", "12pt,a4paper,twocolumn"])
@pytest.mark.parametrize("span", WIDTHS)
def test_no_table_is_wider_or_higher_than_its_place(tmp_path: Path, span: Span, options: str) -> None:
    """In one column and two, on either paper, with the document's letters small or large."""
    samples = [*SAMPLES, build_tables([load_run(GOLDEN)], against="sise")]
    looks = [("brackets", "all"), ("pm", "few"), ("none", "none")]
    texts = [
        latex_of(tables, span=span, intervals=intervals, notes=notes)
        for tables in samples
        for intervals, notes in looks
    ]
    parts = (text.replace(r"\label{tab:", rf"\label{{{number}-") for number, text in enumerate(texts))
    log = compiled(tmp_path, "\n\\clearpage\n".join(parts), options)
    assert not [line for line in log.splitlines() if "Overfull" in line or "too large" in line]
    assert "multiply defined" not in log


SPLIT = r"\\begin\{table\*?\}(.*?)\\end\{table\*?\}"


@pytest.mark.parametrize("span", WIDTHS)
@pytest.mark.parametrize("notes", ["few", "all"])
@pytest.mark.parametrize("intervals", ["brackets", "pm", "none"])
def test_no_float_has_notes_alone(span: str, notes: str, intervals: str) -> None:
    golden = load_run(GOLDEN)
    many = replace(methods_by_metrics(30), notes=tuple(f"Note {k}." for k in range(9)))
    samples = [*SAMPLES, many, build_tables([golden]), build_tables([golden], against="sise")]
    for tables in [*samples, build_tables([golden], by="class", metrics=["ebpg"])]:
        text = latex_of(tables, span=span, notes=notes, intervals=intervals)
        floats = re.findall(SPLIT, text, re.S)
        assert all(r"\begin{tabular}" in part for part in floats)
        assert sum(r"\label{" in part for part in floats) == len(tables.tables)


@pytest.mark.parametrize("span", WIDTHS)
def test_few_notes_stand_below_the_last_table(span: str) -> None:
    """Also where the last table fills its floats to the last line."""
    for lines in range(30, 50):
        text = latex_of(_tall(lines, 2), span=span, intervals="none")
        assert "best measured" not in text
        assert text.index("higher is better") < text.rindex(r"\end{table")
        assert "Notes on" not in text


def test_many_notes_are_a_text_that_names_the_tables() -> None:
    tables = build_tables([load_run(GOLDEN)], against="sise")
    text = latex_of(tables, span="column", notes="all")
    behind = text[text.rindex(r"\end{table}") :]
    assert r"Notes on Tables~\ref{tab:table1-scenes-vgg} to~\ref{tab:table2-scenes-vgg}:" in behind
    assert all(note[:9] in behind for note in ("Bold: best", "Accuracy: the network"))
    alone = replace(tables, tables=tables.tables[:1], notes=("A note of some length. " * 200,))
    assert r"Notes on Table~\ref{tab:table1-scenes-vgg}:" in latex_of(alone, span="column", notes="all")


_COUNTED = r"\par\xdef\lines{\the\prevgraf}\typeout{LINES=\lines}}"


@needs_latex
@pytest.mark.parametrize(("span", "options"), [("column", "a4paper,twocolumn"), ("page", "")])
def test_few_notes_take_six_printed_lines_at_most(tmp_path: Path, span: Span, options: str) -> None:
    """TeX counts the lines itself; they are at most as many as the notes are reckoned to take."""
    words = ("a/path_without-any/end_" * 9, "SHA-256 f6aaaa4aa35c; ↑ ± ° [1, 2]", "word " * 30)
    noted = replace(TABLES, notes=tuple(f"Note {k}: {words[k % 3]}" for k in range(9)))
    for tables in (build_tables([load_run(GOLDEN)], against="sise"), noted):
        texts = {notes: latex_of(tables, span=span, notes=notes) for notes in ("few", "all")}
        body = "\n\\clearpage\\typeout{ALL}\n".join(texts.values())
        log = compiled(tmp_path, body.replace(r"\par}", _COUNTED), options)
        few, every = ([int(n) for n in re.findall(r"LINES=(\d+)", part)] for part in log.split("ALL\n"))
        assert len(few) == texts["few"].count(r"\raggedright") > 1
        assert sum(few) <= MOST_LINES
        reckoned = [printed_lines(note, span) for note in all_footnotes(tables, "bold")]
        assert [real > own for real, own in zip(every, reckoned, strict=True)] == [False] * len(reckoned)


def test_the_comment_at_the_end_tells_the_author_what_to_type() -> None:
    text = latex_of(build_tables([load_run(GOLDEN)]), span="column")
    assert re.fullmatch(r"% \d+ more notes: table --notes all", text.splitlines()[-1])


def test_half_widths_stand_in_the_same_place_in_all_tables() -> None:
    """Table 1 has no room for them beside its numbers in a column; the table below it would have."""
    for span, below in (("column", True), ("page", False)):
        text = latex_of(build_tables([load_run(GOLDEN)]), span=span, intervals="pm", notes="none")
        beside = re.findall(r"\d \\adasisesmall\{\$\\pm\$", text)
        assert (r"\quad \adasisesmall{95 \% interval}" in text) is below
        assert bool(beside) is not below
    small = wide(1).tables[0]
    tables = replace(build_tables([load_run(GOLDEN)]), notes=())
    text = latex_of(replace(tables, tables=(tables.tables[0], small)), span="column", intervals="pm")
    parts = re.findall(SPLIT, text, re.S)
    assert [r"\quad \adasisesmall{95 \% interval}" in part for part in parts] == [True, True]


def test_the_five_blocks_of_table_2_stand_beside_each_other_in_a_column() -> None:
    cells = tuple(Cell("sise", f"maps_kept_p{k}", 1000.5, 153, 153, published=1008) for k in range(5))
    available = tuple(Cell(None, f"maps_available_p{k}", 2048, None, None, 2048) for k in range(5))
    rows = (Row("Available", None, "maps", available), Row("Ada-SISE, kept and live", None, "maps", cells))
    blocks = tuple(f"p{k}" for k in range(1, 6))
    text = latex_of(
        Tables((Table("table2", "resnet50", "Table 2, ResNet-50: maps", blocks, rows),), ()), span="column"
    )
    assert text.count(r"\begin{tabular}{@{}lccccc@{}}") == 1


@pytest.mark.parametrize(("span", "environment"), [("column", "table"), ("page", "table*")])
def test_a_table_is_a_float_with_caption_and_label(span: str, environment: str) -> None:
    text = latex_of(TABLES, span=span)
    assert text.count(rf"\begin{{{environment}}}[tp]") == text.count(rf"\end{{{environment}}}") >= 4
    assert text.index(r"\caption") < text.index(r"\begin{tabular}")
    # The document numbers its tables itself.
    assert r"\caption{resnet50" in text
    assert re.findall(r"\\label\{(.*?)\}", text) == [
        "tab:table1-vgg16", "tab:table1-resnet50", "tab:table2-resnet50", "tab:differences-vgg16",
    ]  # fmt: skip


def test_labels_of_tables_of_one_kind_differ() -> None:
    table = TABLES.tables[0]
    labels = re.findall(r"\\label\{(.*?)\}", latex_of(Tables((table, table), ())))
    assert labels == ["tab:table1-vgg16", "tab:table1-vgg16-2"]


@pytest.mark.parametrize("span", WIDTHS)
@pytest.mark.parametrize("methods", [1, 3, 10, 31])
def test_every_number_is_printed_once(span: str, methods: int) -> None:
    tables = _tall(30, methods)
    text = latex_of(tables, span=span, intervals="none", notes="none")
    numbers = [f"{cell.measured:.2f}" for row in tables.tables[0].rows for cell in row.cells]
    assert sorted(re.findall(r"& (\d+\.\d\d)", text)) == sorted(numbers)
    assert all(number in text for number in (r"m0", rf"m{methods - 1}"))


def test_a_part_that_goes_on_has_the_same_number_and_no_label() -> None:
    text = latex_of(_tall(80, 3), span="column")
    floats = text.split(r"\begin{table}")[1:]
    assert len(floats) > 1
    assert [r"\addtocounter{table}{-1}" in part for part in floats] == [False] + [True] * (len(floats) - 1)
    assert [r"\label" in part for part in floats] == [True] + [False] * (len(floats) - 1)
    assert all("(continued)" in part for part in floats[1:])


def test_intervals_are_their_ends_half_their_width_or_left_out() -> None:
    brackets = latex_of(TABLES, span="column")
    assert r"\adasisesmall{{[}59.88, 62.50{]}}" in brackets
    half = latex_of(TABLES, span="column", intervals="pm")
    assert r"\adasisesmall{$\pm$1.31}" in half  # of 59.876 to 62.5
    assert "59.88" not in half
    none = latex_of(TABLES, span="column", intervals="none")
    assert "59.88" not in none
    assert r"$\pm$" not in none
    for text in (half, none):
        assert text.count(" better") == brackets.count(" better")
        assert text.count(" worse") == brackets.count(" worse")


def test_no_notes_leave_the_tables_alone() -> None:
    assert "First note." in latex_of(TABLES)
    bare = latex_of(TABLES, notes="none")
    assert "First note." not in bare
    assert "best measured value" not in bare
    assert bare.count(r"\caption") == latex_of(TABLES).count(r"\caption")


def test_rows_and_braces_balance_and_nothing_from_outside_is_a_command() -> None:
    text = latex_of(TABLES, notes="all")
    assert text.isascii()
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{@\{\}(lc*)@\{\}\}\n(.*?)\n\\end\{tabular\}", text, re.S
    ):
        lines = [line for line in body.splitlines() if not line.endswith("rule")]
        assert all(line.endswith(r" \\") for line in lines)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(columns) - 1}
        assert not any(line.startswith("[") for line in lines)
    assert r"EBPG, \% $\uparrow$ & 61.20 & \textbf{66.08} 150 pairs & $-$ \\" in text
    assert r"\quad \adasisesmall{published} & \adasisesmall{63.24} & \adasisesmall{66.08} &  \\" in text
    assert r"\adasisesmall{{[}$-$2.00, $-$0.50{]}} worse" in text
    assert r"a\_file \& 50 \% of \#1: \{x\} \textbackslash{} \textasciitilde{} \textasciicircum{} \$" in text
