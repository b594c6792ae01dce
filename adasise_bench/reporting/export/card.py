"""Writes the results of a network as a card: Markdown with a YAML head, which model hubs read.

The head is the ``model-index`` of Hugging Face's model cards: metrics with their values, for each data set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from adasise_bench.reporting.export.files import TextFile
from adasise_bench.reporting.export.scores import NetworkResults, Score
from adasise_bench.reporting.report.provenance import facts_of
from adasise_bench.reporting.tables import title_of
from adasise_bench.reporting.tables.formats import render
from adasise_bench.reporting.tables.look import Look
from adasise_bench.utils.file_names import file_name
from adasise_bench.utils.messages import markdown, printable


class _Dumper(yaml.SafeDumper):
    """Writes equal lists out, instead of referring to the first one."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True


def card_file(results: NetworkResults, folder: Path) -> TextFile:
    """The card of a network as the file ``MODEL.md`` of a folder."""
    return TextFile(folder / f"{file_name(results.model)}.md", card(results))


def card(results: NetworkResults) -> str:
    """The text of the card."""
    head = yaml.dump(_head(results), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    facts = "\n".join(_facts(results))
    tool = results.environment["tool"]
    return (
        f"---\n{head}---\n\n"
        f"# Saliency maps of {markdown(results.title)}\n\n"
        f"How well saliency methods explain this network, measured with adasise-bench "
        f"{markdown(tool['version'])}.\n\n"
        f"## Results\n\n{render(results.tables, 'md', look=Look(notes='all'))}\n"
        f"## How it was measured\n\n{facts}\n"
    )


def _facts(results: NetworkResults) -> list[str]:
    """What is known of the runs and of the network; the notes on the tables name the definitions."""
    return [
        f"- {markdown(name)}: {markdown(value)}"
        for run in results.runs
        for name, value in facts_of(run, [results.model])
    ]


def _head(results: NetworkResults) -> dict[str, Any]:
    data, config = results.data, results.runs[0].config
    return {
        "library_name": "adasise-bench",
        "tags": ["saliency-maps", "explainable-ai", "adasise-bench"],
        "model-index": [
            {
                "name": printable(results.model),
                "results": [
                    {
                        "task": {"type": "other", "name": "Explanation of classes by saliency maps"},
                        "dataset": {
                            "name": printable(data["name"]),
                            "type": _identifier(data["name"]),
                            "args": {
                                "images": data["images"],
                                "pairs": data["pairs"],
                                "input_size": config["data"]["input_size"],
                                "resize": printable(config["data"]["resize"]),
                                "score": printable(config["score"]),
                                "weights_sha256": printable(results.weights["weights_sha256"]),
                                "published_weights": results.weights["published"],
                            },
                        },
                        "metrics": [_metric(results, score) for score in results.scores],
                    }
                ],
            }
        ],
    }


def _metric(results: NetworkResults, score: Score) -> dict[str, Any]:
    method = score.method
    args: Mapping[str, Any] = {
        "definition": results.definition(score.name),
        "method": results.definition(method),
        "options": results.options(method),
        "interval_95": None if score.low is None else [score.low, score.high],
        "pairs": score.pairs,
        "images": score.images,
    }
    return {
        "type": score.name,
        "value": score.value,
        "name": printable(f"{score.metric.title} ({title_of(method)})"),
        "config": printable(method),
        "args": {name: value for name, value in args.items() if value not in (None, "", {})},
    }


def _identifier(name: str) -> str:
    """The name of a data set in small letters with hyphens, as hubs have them."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"
