"""``adasise-bench ls``: lists methods, networks, metrics, configurations and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from adasise_bench.cli.parameters import CONFIG_FILE
from adasise_bench.utils.errors import ConfigError

Entries = Mapping[str, Mapping[str, Any]]
"""What is known of each entry by its name; ``summary`` is for people."""


@click.command("ls")
@click.argument("what", nargs=-1, metavar="[WHAT]...",
                type=click.Choice(["methods", "models", "metrics", "configs", "pictures"]))  # fmt: skip
@click.option("--config", "config_path", type=CONFIG_FILE,
              help="With `pictures`: the configuration whose pictures are listed.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
              help="With `pictures`: change any key of the configuration, as in `run`.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(what: tuple[str, ...], config_path: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """List what there is, one in each line.

    WHAT is any of methods, models, metrics, configs (those that come with the tool) and pictures (the ids of
    those that a configuration explains, in its order). Without it, all but the pictures are listed.

    \b
    Examples:
      adasise-bench ls
      adasise-bench ls configs
      adasise-bench ls pictures --config table2 --set data.root=/data/voc
      adasise-bench ls methods --json
    """
    from adasise_bench.utils.messages import json_text, terminal
    from adasise_bench.utils.text_tables import text_table

    if ("pictures" in what) != (config_path is not None):
        raise ConfigError("ls: `pictures` and --config belong together; give both")
    listed: dict[str, Any] = {name: _SECTIONS[name]() for name in what or _SECTIONS if name in _SECTIONS}
    if config_path is not None:
        listed["pictures"] = _pictures(config_path, overrides)
    if as_json:
        click.echo(json_text(listed))
        return
    title = len(listed) > 1
    for section, entries in listed.items():
        rows = [_row(name, entries, "  " * title) for name in entries]
        lines = text_table("l" * len(rows[0]), rows) if rows else ""
        click.echo(terminal(f"{section.capitalize()}\n{lines}" if title else lines))


def _row(name: str, entries: Entries | list[str], indent: str) -> tuple[str, ...]:
    if not isinstance(entries, Mapping):
        return (indent + name,)
    entry = entries[name]
    if "direction" not in entry:
        return (indent + name, entry["summary"])
    arrow = "↑" if entry["direction"] == "up" else "↓"
    return (indent + name, f"{arrow} {entry['unit']:12} {entry['summary']}")


def _methods() -> Entries:
    from adasise_bench.methods.custom.custom import GROUP
    from adasise_bench.methods.registry import METHODS
    from adasise_bench.utils.plugins import installed

    known = {
        name: {"summary": method.summary, "definition": method.definition} for name, method in METHODS.items()
    }
    others = {
        name: {"summary": f"{point.value} of the package {point.dist.name if point.dist else '?'}"}
        for name, point in installed(GROUP).items()
        if name not in METHODS
    }
    return known | others


def _models() -> Entries:
    from adasise_bench.models.architectures import ARCHITECTURES

    return {name: {"summary": model.summary} for name, model in ARCHITECTURES.items()}


def _metrics() -> Entries:
    from adasise_bench.metrics.registry import METRICS

    return {
        name: {
            "summary": metric.summary,
            "direction": metric.direction,
            "unit": metric.unit,
            "definition": metric.definition or None,
        }
        for name, metric in METRICS.items()
    }


def _configs() -> Entries:
    from adasise_bench.run.shipped_configs import shipped_configs, title_of_config

    return {
        name: {"summary": title_of_config(path), "file": str(path)}
        for name, path in shipped_configs().items()
    }


_SECTIONS: Mapping[str, Callable[[], Entries]] = {
    "methods": _methods,
    "models": _models,
    "metrics": _metrics,
    "configs": _configs,
}


def _pictures(config_path: Path, overrides: tuple[str, ...]) -> list[str]:
    """The ids of the pictures that a configuration explains."""
    from adasise_bench.run.config_file import load_config
    from adasise_bench.run.forecast.pictures import pictures_of
    from adasise_bench.utils.streams import prints_aside

    with prints_aside():
        return list(pictures_of(load_config(config_path, overrides)).counts)
