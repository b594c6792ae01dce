"""The configurations that come with the tool, which can be named without a path."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.settings import suggest

_PACKAGE = Path(__file__).parents[1]
_SUFFIX = ".yaml"


def shipped_configs() -> dict[str, Path]:
    """The files of the configurations that come with the tool, by name."""
    return {path.stem: path for path in sorted(_folder().glob(f"*{_SUFFIX}"))}


def find_config(given: Path) -> Path:
    """The file that a user names: by its path, or by the name of a configuration that comes with the tool.

    A file in the working directory comes first.

    Raises:
        ConfigError: the text is no path, and no such configuration comes with the tool.
    """
    if len(given.parts) > 1 or given.suffix:
        return given
    with suppress(OSError, ValueError):  # too long or with a zero byte: certainly no file's name
        if given.exists() and not given.is_dir():
            return given
    shipped = shipped_configs()
    if given.name not in shipped:
        raise ConfigError(
            f"--config {given}: neither a file nor a configuration that comes with the tool"
            f"{suggest(given.name, shipped)}"
        )
    return shipped[given.name]


def title_of_config(path: Path) -> str:
    """What a configuration is for: the first sentence of the comment at its beginning; empty without one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    sentence, dot, _ = " ".join(comment).partition(". ")
    return sentence.removesuffix(".") if dot or comment else ""


def _folder() -> Path:
    """The wheel has the files inside the package, and a checkout beside it (see pyproject.toml)."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"
