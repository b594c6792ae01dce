"""The results as a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from .targets import judged


def markdown(content: Mapping[str, Any]) -> str:
    """The page of a file of results: where they come from, the targets, and a table for every step."""
    setup = content["setup"]
    lines = [
        f"# Acceptance on {content['card']}",
        "",
        f"{content['made']}, commit {content['commit']}, torch {content['torch']}, by "
        "`scripts/gpu_acceptance.sh`"
        + (" with `--quick`, which tries every step and measures nothing of use." if setup["quick"] else "."),
        "",
        "Networks and their weights:",
        "",
        *(f"- {network['name']}: {network['weights']}" for network in setup["networks"]),
    ]
    if any("STAND-IN" in network["weights"] for network in setup["networks"]):
        lines += [
            "",
            "Values of stand-ins are not to be held against the papers'; times are, for the networks are",
        ]
        lines[-1] += " the same."
    if setup["device"] != "cpu" and not setup["quick"]:
        lines += ["", "## Targets", "", _table(judged(content["steps"]))]
    for name, step in content["steps"].items():
        lines += ["", f"## {name}: {step['status']}", "", _about(step)]
        if step["rows"]:
            lines += ["", _table(step["rows"])]
    return "\n".join(lines) + "\n"


def _about(step: Mapping[str, Any]) -> str:
    words = [f"{step['title']}."]
    if "seconds" in step:
        words.append(f"It took {step['seconds']:.1f} s of at most {step['limit_s']:.0f} s.")
    if step.get("message"):
        words.append(f"The last it said: `{step['message']}`")
    return " ".join(words)


def _table(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    return tabulate(cells, headers=columns, tablefmt="github", disable_numparse=True)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
