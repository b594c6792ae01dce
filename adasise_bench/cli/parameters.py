"""Types of options that several commands have."""

from __future__ import annotations

from typing import Any

import click


class CommaList(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """Names with commas between them; spaces around a name, and empty names, are dropped."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        """The names in the order given; a default that is a list already stays one."""
        names = value.split(",") if isinstance(value, str) else value
        return [name.strip() for name in names if name.strip()]


COMMA_LIST = CommaList()
