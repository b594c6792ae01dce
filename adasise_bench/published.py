"""The figures that the papers print, to stand beside the measured ones."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

Scores = dict[str, dict[str, dict[str, float]]]
"""Figures by model, method and metric: percent, and seconds per explanation."""


@cache
def published(paper: str) -> dict[str, Any]:
    """All figures of ``ada_sise`` or ``sise`` as the package's ``published.yaml`` lays them out."""
    tree = yaml.safe_load((files("adasise_bench") / "published.yaml").read_text(encoding="utf-8"))
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


def published_table2(model: str = "resnet50") -> dict[str, list[int]]:
    """Table 2 of Ada-SISE: feature maps per block, ``available`` and kept by method; none but ResNet-50's."""
    table: dict[str, Any] = published("ada_sise")["table2"]
    maps: dict[str, list[int]] = table["maps"]
    return maps if model == table["model"] else {}
