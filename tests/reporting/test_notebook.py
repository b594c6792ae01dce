"""Tables as a notebook shows them."""

from __future__ import annotations

from xml.etree import ElementTree

from adasise_bench.reporting.notebook import html_table


def test_titles_and_words_begin_at_the_left_and_numbers_do_not() -> None:
    table = ElementTree.fromstring(
        html_table(["value", "meaning"], [("EBPG", ["1.00", "energy"])], ["meaning"])
    )
    style = {"".join(cell.itertext()): cell.get("style") for cell in table.iter() if cell.tag in ("th", "td")}
    assert style == {
        "": None,
        "value": None,
        "meaning": "text-align: left",
        "EBPG": "text-align: left",
        "1.00": None,
        "energy": "text-align: left",
    }
    assert [head.get("scope") for head in table.iter("th")] == ["col", "col", "row"]
