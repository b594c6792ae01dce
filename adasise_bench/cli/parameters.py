"""Types of options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


class CommaList(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """Names with commas between them; spaces around a name, and empty names, are dropped."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """The names in the order given; a default that is a list already stays one."""
        names = value.split(",") if isinstance(value, str) else value
        return [name.strip() for name in names if name.strip()]


COMMA_LIST = CommaList()


class ConfigFile(click.ParamType):  # type: ignore[type-arg]  # as above
    """A configuration: the path of its file, or the name of one that comes with the tool."""

    name = "NAME|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The text as a path; :func:`.load_config` finds the file."""
        return Path(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so; without one, the shell's own completion of files."""
        from adasise_bench.run.shipped_configs import shipped_configs

        names = [name for name in shipped_configs() if name.startswith(incomplete)]
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


CONFIG_FILE = ConfigFile()
