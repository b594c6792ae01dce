"""Code of the user's own, named in a configuration as ``module:function`` or installed as an entry point."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from adasise_bench.utils.errors import BenchError, ConfigError, text_of
from adasise_bench.utils.files import regular

_LOCATION = re.compile(r"[\w.]+:[\w.]+")


def installed(group: str) -> dict[str, EntryPoint]:
    """The entry points that installed packages offer in a group, by name."""
    return {point.name: point for point in entry_points(group=group)}


@cache
def load(location: str) -> Any:
    """Import what ``module:attribute`` names; modules in the working directory are also found.

    The module is executed like any module that is imported, so it can do whatever the user can. What it sets
    for the whole process, such as torch's default dtype, is undone; see :func:`undone`.

    Raises:
        ConfigError: the import fails for any reason, or the module has no such attribute.
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
        places = f"; modules are searched among the installed ones, and in {here}"
        cure = places if isinstance(error, ModuleNotFoundError) else ""
        raise ConfigError(f"{location}: cannot be imported: {reason(error)}{cure}") from None


@contextmanager
def undone(where: str) -> Iterator[None]:
    """Undo what importing code, or making a network, sets for the whole process; see ``process_state``.

    Environment variables and functions that were replaced in torch stay, since the code may need them later.
    The seed of random numbers is 0 in the body, and afterwards they continue as if none had been drawn.

    Args:
        where: what a message calls the code.

    Raises:
        BenchError: something cannot be put back.
    """
    import torch

    from adasise_bench.utils.precision import arithmetic
    from adasise_bench.utils.process_state import restored, seeded

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
    """Refuse arguments that the function does not take, if Python knows which it takes.

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
    """``module:function`` with the SHA-256 of its source files, but not of what these import.

    Raises:
        ConfigError: the import fails.
    """
    digests = [
        f"{path.name}: {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
        for path in source_files(location)
    ]
    return f"{location} (SHA-256 of {', '.join(digests)})" if digests else f"{location} (no source file)"


def source_files(location: str) -> list[Path]:
    """The files that define what ``location`` names, or else the file of its module, if it has one.

    A plain function or class has one file. An object that was put together from others (a
    ``functools.partial``, a wrapped or bound function, an object that can be called) also has the files of
    its parts, and that of the named module, in which it was put together.
    """
    parts = _parts(load(location), [])
    module = sys.modules.get(location.partition(":")[0])
    files = [_source_file(part) for part in (parts if len(parts) == 1 else [*parts, module])]
    found = list(dict.fromkeys(path for path in files if path is not None))
    named = _source_file(module)
    return found or ([named] if named else [])


def _parts(found: Any, known: list[Any]) -> list[Any]:
    """A callable, and everything that it calls in turn as far as Python shows it, each once."""
    if not callable(found) or any(found is other for other in known):
        return known
    known.append(found)
    if isinstance(found, partial):
        for inner in (found.func, *found.args, *found.keywords.values()):
            _parts(inner, known)
    elif inspect.ismethod(found):
        _parts(found.__func__, known)
        _parts(found.__self__ if isinstance(found.__self__, type) else type(found.__self__), known)
    elif hasattr(found, "__wrapped__"):
        _parts(found.__wrapped__, known)
    elif not isinstance(found, type) and not inspect.isroutine(found):
        _parts(type(found), known)
    return known


def _source_file(part: Any) -> Path | None:
    """The file of a function, class or module; ``None`` for an object, whose class has one."""
    try:
        path = Path(inspect.getsourcefile(part) or "")
    except TypeError:
        return None
    return path if path.is_file() else None


def named_files(options: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of every file that a value among the options names, by the value's dotted key.

    Relative paths start in the working directory, as they do for the code that gets the options.
    """
    found: dict[str, str] = {}
    for key, value in options.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": digest for name, digest in named_files(value).items()}
        elif isinstance(value, list | tuple):
            numbered = {str(number): one for number, one in enumerate(value)}
            found |= {f"{key}.{name}": digest for name, digest in named_files(numbered).items()}
        elif isinstance(value, str | Path) and (digest := _file_sha256(value)):
            found[str(key)] = digest
    return found


def _file_sha256(path: str | Path) -> str | None:
    try:
        with regular(Path(path)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # no file, or a text that cannot name one
        return None


def reason(error: BaseException) -> str:
    """An exception in one line: its type, its message, and the line of code that raised it."""
    if isinstance(error, BenchError):
        return str(error)
    message = " ".join(f"{type(error).__name__}: {text_of(error)}".split()).rstrip(": ")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_of_a_user(frame.filename)]
    return f"{message} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else message


def _is_of_a_user(filename: str) -> bool:
    """Whether a file belongs neither to Python, nor to an installed package, nor to this tool."""
    path = Path(filename)
    library = Path(inspect.__file__).parent
    package = Path(__file__).parents[1]
    return path.is_file() and not (
        path.is_relative_to(library) or path.is_relative_to(package) or "site-packages" in path.parts
    )
