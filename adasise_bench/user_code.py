"""Code of the user's own, named in a configuration as ``module:function`` or installed as an entry point."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from adasise_bench.errors import BenchError, ConfigError

_LOCATION = re.compile(r"[\w.]+:[\w.]+")


def installed(group: str) -> dict[str, EntryPoint]:
    """The entry points that installed packages offer in a group, by name."""
    return {point.name: point for point in entry_points(group=group)}


@cache
def load(location: str) -> Any:
    """Import what ``module:attribute`` names; modules of the working directory are found as well.

    The module is executed as any other that is imported: it can do whatever the user can. What it sets for
    the whole process, such as torch's default dtype, is undone; see :func:`undone`.

    Raises:
        ConfigError: the import fails, for whatever reason, or the module has no such attribute.
    """
    if not _LOCATION.fullmatch(location):
        raise ConfigError(f"{location!r}: write it as module:function")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # last, so that nothing here hides an installed module
    try:
        with undone(location):
            return EntryPoint("", location, "").load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code may raise anything, SystemExit included
        raise ConfigError(f"{location}: cannot be imported: {reason(error)}") from None


@contextmanager
def undone(where: str) -> Iterator[None]:
    """Undo what an import, or the making of a network, sets for the whole process; see ``process_state``.

    Environment variables and functions that were replaced in torch stay, since the code may need them later.
    Random numbers begin at 0, and go on afterwards as if nobody had drawn any.

    Args:
        where: what a message calls the code.

    Raises:
        BenchError: something cannot be put back.
    """
    import torch

    from adasise_bench.models.precision import arithmetic
    from adasise_bench.process_state import restored, seeded

    cpu, lasting = torch.device("cpu"), ("environment variables", "functions of torch")
    with seeded(0, cpu), arithmetic("fp32", cpu), restored(where, keep=lasting):
        yield


def load_function(location: str) -> Callable[..., Any]:
    """Import a function (or anything else that can be called).

    Raises:
        ConfigError: the import fails, or what is there cannot be called.
    """
    function = load(location)
    if not callable(function):
        raise ConfigError(f"{location}: a {type(function).__name__}, which cannot be called")
    called: Callable[..., Any] = function
    return called


def check_arguments(location: str, *positional: object, **options: object) -> None:
    """Refuse arguments that the function does not take, where Python knows which it takes.

    Raises:
        ConfigError: names the function and the argument; or the import fails.
    """
    function = load_function(location)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*positional, **options)
    except TypeError as error:
        raise ConfigError(f"{location}{signature}: {error}; see its `options`") from None


def definition(location: str) -> str:
    """``module:function`` with the SHA-256 of the source file that defines it; what it imports is not in it.

    Raises:
        ConfigError: the import fails.
    """
    path = source_file(location)
    if path is None:
        return f"{location} (no source file)"
    return f"{location} (SHA-256 of {path.name}: {hashlib.sha256(path.read_bytes()).hexdigest()[:16]})"


def source_file(location: str) -> Path | None:
    """The file that defines what ``location`` names, else that of the named module; ``None`` without one."""
    found = inspect.unwrap(load(location))
    module = sys.modules.get(location.partition(":")[0])
    for candidate in (found, type(found), module):
        try:
            path = Path(inspect.getsourcefile(candidate) or "")  # type: ignore[arg-type]
        except TypeError:
            continue
        if path.is_file():
            return path
    return None


def reason(error: BaseException) -> str:
    """An exception in one line: its type, its message, and the line of code that raised it."""
    if isinstance(error, BenchError):
        return str(error)
    try:
        text = str(error)
    except Exception:  # a class of a user's own may fail to say what is wrong
        text = "its message cannot be read"
    message = " ".join(f"{type(error).__name__}: {text}".split()).rstrip(": ")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_of_a_user(frame.filename)]
    return f"{message} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else message


def _is_of_a_user(filename: str) -> bool:
    """Whether a file is neither Python's, nor an installed package's, nor this tool's."""
    path = Path(filename)
    library = Path(inspect.__file__).parent
    package = Path(__file__).parent
    return path.is_file() and not (
        path.is_relative_to(library) or path.is_relative_to(package) or "site-packages" in path.parts
    )
