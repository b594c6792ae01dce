"""Writes the findings of a comparison for people, for programs and for CI servers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any
from xml.etree import ElementTree

from adasise_bench.metrics.registry import METRICS
from adasise_bench.regression.comparison import SPEED, Finding
from adasise_bench.regression.values import MAPS
from adasise_bench.reporting.tables.model import title_of
from adasise_bench.utils.messages import json_text, printable, terminal
from adasise_bench.utils.text_tables import ENDLESS, text_table

_TITLES = {
    MAPS: "Maps kept",
    SPEED: "Cost, plain forwards",
    "pairs": "Pairs",
    "errors": "Errors",
    "degenerate": "Degenerate maps",
}
_HEADER = ("", "base", "new", "difference", "allowed", "largest", "allowed", "at", "verdict")
_VERDICTS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}

Made = Mapping[str, Any]
"""The tool, versions and device with which values were made."""


def is_passed(findings: Sequence[Finding]) -> bool:
    """Whether no check failed."""
    return all(finding.verdict != "failed" for finding in findings)


def summary(findings: Sequence[Finding]) -> str:
    """How many checks failed, passed and were skipped, and which failed."""
    count = {
        word: sum(finding.verdict == word for finding in findings) for word in ("passed", "failed", "skipped")
    }
    failed = ", ".join(
        f"{finding.check} of {finding.method} on {finding.model}"
        for finding in findings
        if finding.verdict == "failed"
    )
    numbers = f"{count['passed']} checks passed, {count['failed']} failed, {count['skipped']} skipped"
    return terminal(printable(f"{numbers}: {failed}" if failed else numbers))


def as_text(findings: Sequence[Finding], base: Made, new: Made) -> str:
    """A table per method and network, a line per finding, with what failed marked and explained."""
    blocks = [f"base: {_made(base)}\nnew:  {_made(new)}"]
    for (model, method), group in groupby(findings, key=lambda finding: (finding.model, finding.method)):
        blocks.append(f"{title_of(model)}, {title_of(method)}")
        blocks.append(text_table("lrrrrrrll", map(_row, group), _HEADER, width=ENDLESS))
    return terminal("\n\n".join(blocks)) + "\n"


def _row(finding: Finding) -> tuple[str, ...]:
    unit = " %" if finding.check == SPEED else ""
    numbers = (finding.base, finding.new)
    return (
        METRICS[finding.check].title if finding.check in METRICS else _TITLES[finding.check],
        *(
            "" if number is None else str(number) if isinstance(number, int) else f"{number:.3f}"
            for number in numbers
        ),
        "" if finding.difference is None else f"{finding.difference:+.4f}{unit}",
        "" if finding.allowed is None else f"{finding.allowed:g}{unit}",
        "" if finding.largest is None else f"{finding.largest:+.4f}",
        "" if finding.bound is None else f"{finding.bound:g}",
        finding.at,
        f"{_VERDICTS[finding.verdict]}{finding.detail and ': '}{' '.join(finding.detail.split())}",
    )


def _made(by: Made) -> str:
    tool = by.get("tool")
    tool = tool if isinstance(tool, Mapping) else {}
    commit = f" ({tool['commit']})" if tool.get("commit") else ""
    return printable(
        f"adasise-bench {tool.get('version')}{commit}, torch {by.get('torch')}, "
        f"{by.get('device_name')} ({by.get('device')}), {by.get('precision')}"
    )


def as_json(findings: Sequence[Finding], base: Made, new: Made) -> str:
    """All findings with unrounded numbers; a difference that is not finite is null."""
    tree = {
        "passed": is_passed(findings),
        "base": dict(base),
        "new": dict(new),
        "findings": [{key: _plain(value) for key, value in asdict(finding).items()} for finding in findings],
    }
    return json_text(tree) + "\n"


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_junit(findings: Sequence[Finding]) -> str:
    """JUnit XML, one test case per network, method and check."""
    count = {
        word: str(sum(finding.verdict == word for finding in findings)) for word in ("failed", "skipped")
    }
    attributes = {
        "tests": str(len(findings)),
        "failures": count["failed"],
        "skipped": count["skipped"],
        "errors": "0",
    }
    root = ElementTree.Element("testsuites", attributes)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "adasise-bench compare", **attributes})
    for finding in findings:
        place = {"classname": printable(f"{finding.model}.{finding.method}"), "name": finding.check}
        case = ElementTree.SubElement(suite, "testcase", place)
        if finding.verdict != "passed":
            outcome = "failure" if finding.verdict == "failed" else "skipped"
            ElementTree.SubElement(case, outcome, {"message": printable(finding.detail)})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
