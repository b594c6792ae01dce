"""How the commands that print tables let their user choose the format, and write it to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

from adasise_bench.utils.errors import ConfigError

if TYPE_CHECKING:
    from adasise_bench.reporting.tables import Tables

FORMATS = ("terminal", "md", "latex", "csv", "json")


class RenderingOptions(TypedDict):
    """The values of the options that :func:`rendering_options` adds, by the names of their parameters."""

    fmt: str
    span: str
    intervals: str
    notes: str | None
    no_notes: bool
    output: Path | None


_OPTIONS = (
    click.option("--format", "fmt", type=click.Choice(FORMATS), default="terminal", show_default=True),
    click.option("--width", "span", type=click.Choice(["column", "page"]), default="page", show_default=True,
                 help="What a LaTeX table fills: a column of a page with two, or the page."),
    click.option("--intervals", type=click.Choice(["none", "pm", "brackets"]), default="brackets",
                 show_default=True,
                 help="Print no intervals, ± half their width, or [low, high]; csv and json always have "
                 "both ends."),
    click.option("--notes", type=click.Choice(["few", "all"]),
                 help="Print the most important notes in at most six lines, or all. Default: few."),
    click.option("--no-notes", is_flag=True, help="Print no notes."),
    click.option("--output", type=click.Path(path_type=Path, dir_okay=False),
                 help="File to write, instead of standard output."),
)  # fmt: skip

_Command = TypeVar("_Command", bound=Callable[..., Any])


def rendering_options(command: _Command) -> _Command:
    """Add the options that say how tables look; the command takes them as :class:`RenderingOptions`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def show(tables: Tables, options: RenderingOptions) -> None:
    """Print tables, or write them to the file that the user named and print its path.

    Raises:
        ConfigError: two options contradict each other.
        OutputError: the file cannot be written.
    """
    from adasise_bench.utils.files import write_text_atomically

    text = as_text(tables, options)
    if (path := options["output"]) is None:
        click.echo(text)
        return
    write_text_atomically(path, text)
    click.echo(path)


def as_text(tables: Tables, options: RenderingOptions) -> str:
    """The tables as the options ask for them.

    Raises:
        ConfigError: two options contradict each other.
    """
    from adasise_bench.reporting.tables.formats import render
    from adasise_bench.reporting.tables.look import WIDTH, Look
    from adasise_bench.utils.text_tables import terminal_width

    if options["no_notes"] and options["notes"]:
        raise ConfigError("--notes and --no-notes: give one of them")
    notes = "none" if options["no_notes"] else options["notes"] or "few"
    command = click.get_current_context().info_name or "table"
    look = Look(span=options["span"], intervals=options["intervals"], notes=notes, command=command)  # type: ignore[arg-type]
    width = None if options["output"] else terminal_width()
    return render(tables, options["fmt"], width or WIDTH, look)
