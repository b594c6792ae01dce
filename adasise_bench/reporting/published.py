"""The figures that the papers print, which are shown beside the measured ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

Scores = dict[str, dict[str, dict[str, float]]]
"""Figures by model, method and metric: percent, and seconds per explanation."""


VOC, COCO = "VOC 2007 test", "COCO 2014 val"
"""Names of the data sets for which the papers print figures."""

_TABLES = {VOC: (("ada_sise", "table1"), ("sise", "table1")), COCO: (("sise", "coco2014"),)}
"""Where figures for a data set are printed; the first source that has a figure counts."""

_SOURCES = {
    ("ada_sise", "table1"): "arXiv 2102.07799",
    ("sise", "table1"): "arXiv 2010.00672, run-times from its authors' slides",
    ("sise", "coco2014"): "the slides of the authors of arXiv 2010.00672",
}


@cache
def published(paper: str) -> dict[str, Any]:
    """All figures of ``ada_sise`` or ``sise`` as the package's ``published.yaml`` lays them out."""
    tree = yaml.safe_load((files("adasise_bench.reporting") / "published.yaml").read_text(encoding="utf-8"))
    figures: dict[str, Any] = tree[paper]
    return figures


def published_scores(paper: str, table: str) -> Scores:
    """A table of scores: ``table1`` of either paper, ``mu_ablation`` or ``coco2014`` of ``sise``."""
    section = published(paper)[table]
    return {
        model: {method: dict(zip(section["metrics"], row, strict=True)) for method, row in rows.items()}
        for model, rows in section.items()
        if model != "metrics"
    }


def published_table1(paper: str = "ada_sise") -> Scores:
    """Table 1 (PASCAL VOC 2007 test) of ``ada_sise`` or ``sise``."""
    return published_scores(paper, "table1")


def published_on(data: str) -> Scores:
    """What the papers print for a data set, often nothing; if both print a figure, Ada-SISE's is taken.

    Args:
        data: name of the data set, as results give it.
    """
    merged: Scores = {}
    for paper, table in reversed(_TABLES.get(data, ())):
        for model, methods in published_scores(paper, table).items():
            for method, figures in methods.items():
                merged.setdefault(model, {}).setdefault(method, {}).update(figures)
    return merged


def sources(data: str, figures: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Where figures of :func:`published_on` are printed, in the order of precedence.

    Args:
        data: name of the data set.
        figures: model, method and metric of each.
    """
    left = set(figures)
    for paper, table in _TABLES.get(data, ()):
        printed = published_scores(paper, table)
        here = {
            (m, method, metric) for m, method, metric in left if metric in printed.get(m, {}).get(method, {})
        }
        left -= here
        if here:
            yield _SOURCES[paper, table]


def published_table2(model: str = "resnet50", data: str = VOC) -> dict[str, list[int]]:
    """Table 2 of Ada-SISE: feature maps per block, ``available`` and kept by method.

    It exists only for ResNet-50 on VOC 2007.
    """
    table: dict[str, Any] = published("ada_sise")["table2"]
    maps: dict[str, list[int]] = table["maps"]
    return maps if model == table["model"] and data == VOC else {}


def published_accuracy(model: str, data: str) -> dict[str, float]:
    """The accuracies that the papers print of a network, percent, by each definition that they may mean.

    Ada-SISE prints a test accuracy, SISE a top-5 accuracy; neither defines it.

    Args:
        model: architecture.
        data: name of the data set; there are none but for VOC 2007.
    """
    if data != VOC:
        return {}
    test = published("ada_sise")["model_accuracy"].get(model)
    top5 = published("sise")["model_top5"].get(model)
    shares = dict.fromkeys(("map_eleven_points", "map_area", "top1"), test)
    shares |= dict.fromkeys(("top5", "top5_pairs"), top5)
    return {name: value for name, value in shares.items() if value is not None}
