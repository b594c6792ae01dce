"""Writes figures as files and as SVG text; the same figure gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from matplotlib.figure import Figure

from adasise_bench.reporting.figures.style import drop_note, note_of, styled
from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.files import write_atomically

_WITHOUT_DATE = MappingProxyType({
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
})  # fmt: skip

_NOTE = MappingProxyType({".png": "Description", ".pdf": "Subject", ".svg": "Description"})
"""The field of a file's metadata that takes the note of its figure."""


def format_of(path: Path) -> str:
    """The suffix of a figure's file, in small letters.

    Raises:
        ConfigError: no format has this suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in _WITHOUT_DATE:
        raise ConfigError(f"{path}: no figure format {suffix!r}; valid: {', '.join(_WITHOUT_DATE)}")
    return suffix


def save(figure: Figure, path: Path, *, footer: bool = True) -> None:
    """Write a figure in the format that its suffix names, PNG at 300 dpi, in one step.

    The note at its foot also goes into the metadata: ``Description`` of PNG and SVG, ``Subject`` of PDF.

    Args:
        figure: is changed if the note is not shown.
        path: file to write.
        footer: whether the note at the foot is shown.

    Raises:
        ConfigError: unknown suffix.
        OutputError: the file cannot be written.
    """
    suffix = format_of(path)
    metadata = {_NOTE[suffix]: note_of(figure) or None}
    if not footer:
        drop_note(figure)
    write_atomically(path, lambda temporary: temporary.write_bytes(_bytes(figure, suffix, metadata)))


def to_svg(figure: Figure) -> str:
    """A figure as one ``<svg>`` element for use inside HTML; text is outlines, so no font is needed."""
    text = _bytes(figure, ".svg", {}).decode()
    return text[text.index("<svg") :]


@styled
def _bytes(figure: Figure, suffix: str, metadata: Mapping[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    fields: dict[str, str | None] = {**_WITHOUT_DATE[suffix], **metadata}
    figure.savefig(buffer, format=suffix[1:], metadata=fields)
    return buffer.getvalue()
