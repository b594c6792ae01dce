"""Settings that are not the protocol's stand where published numbers stand, in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from table_runs import Folder, build, record, with_classes

from adasise_bench.reporting.tables.formats import render

Change = Callable[[dict[str, Any], dict[str, Any]], object]

SETTINGS: dict[str, Change] = {
    "input 96 px, not 224 px": lambda config, _: config["data"].update(input_size=96),
    "resize short-side, not stretch": lambda config, _: config["data"].update(resize="short-side"),
    "score logit, not softmax": lambda config, _: config.update(score="logit"),
    "rules authors-code": lambda config, _: config.update(rules="authors-code"),
    "feature maps at the pool-output side of the blocks": lambda config, _: config["models"][
        "resnet50"
    ].update(blocks="pool-output"),
    "stand-in weights": lambda _, environment: environment["models"]["resnet50"].update(published=False),
    "2 of 4952 images (2 of 7632 pairs)": lambda _, environment: environment["data"].update(
        full_images=4952, full_pairs=7632
    ),
    "options of SISE": lambda _, environment: environment["methods"].update(sise={"mu": 0.3}),
}


def whole() -> list[Any]:
    """The two pictures and three pairs of the test's data, or two of them."""
    return [record("sise", image, "dog", ebpg=1.0, maps_kept=[1] * 5) for image in "12"]


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_named_at_the_table_in_every_format(folder: Folder, setting: str) -> None:
    def change(config: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["data"].update(full_images=2, full_pairs=2)
        SETTINGS[setting](config, environment)

    built = build(folder(whole(), change=change))
    assert [table.deviations for table in built.tables] == [(setting,), (setting,)]
    line = f"Measured otherwise than published: {setting}."
    assert render(built, "terminal").count(line) == 2
    assert render(built, "md").replace("\\", "").count(line) == 2
    assert " ".join(render(built, "latex").split()).count(f". {line}}}") == 2
    assert json.loads(render(built, "json"))["tables"][0]["deviations"] == [setting]
    rows = list(csv.DictReader(io.StringIO(render(built, "csv"))))
    assert {row["deviations"] for row in rows if row["published"]} == {setting}
    assert {row["deviations"] for row in rows if not row["published"]} == {""}
    assert len({row["table"] for row in rows if row["deviations"]}) == 2


def test_what_follows_the_protocol_deviates_in_nothing(folder: Folder) -> None:
    def complete(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["data"].update(full_images=2, full_pairs=2)

    built = build(folder(whole(), change=complete))
    assert not any(table.deviations for table in built.tables)
    assert "otherwise" not in render(built, "terminal")


def test_where_nothing_published_stands_there_is_nothing_to_differ_from(folder: Folder) -> None:
    def small(config: dict[str, Any], environment: dict[str, Any]) -> None:
        config["data"]["input_size"] = 96
        environment["methods"]["mine"] = {"mu": 0.3}

    built = build(folder([record("mine", "1", ebpg=1.0)], change=small))
    assert [table.deviations for table in built.tables] == [()]
    several = build(folder([record(name, "1", ebpg=1.0) for name in ("sise", "mine")], "several", small))
    assert several.tables[0].deviations == ("input 96 px, not 224 px", "1 of 2 images (1 of 3 pairs)")


def test_how_much_of_the_data_there_is_is_said_once(folder: Folder) -> None:
    built = build(folder([record("sise", "1", ebpg=1.0)]))
    assert built.tables[0].deviations == ("1 of 2 images (1 of 3 pairs)",)
    assert not any("of 2 images" in note for note in built.notes)


def test_the_accuracy_deviates_as_the_metrics_do(folder: Folder) -> None:
    def small(config: dict[str, Any], environment: dict[str, Any]) -> None:
        with_classes(config, environment)
        config["data"]["input_size"] = 96
        environment["methods"]["sise"] = {"mu": 0.3}

    scores = {"class_scores": [0.4] + [0.1] * 6, "classes_annotated": [0], "classes_difficult": []}
    built = build(folder([record("sise", "1", "cat", ebpg=1.0, **scores)], change=small))
    assert built.tables[0].deviations[-1] == "options of SISE"
    assert built.tables[1].deviations == built.tables[0].deviations[:-1]
