"""Reads the entries under `methods` in a configuration."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from adasise_bench.methods.base import Method
from adasise_bench.methods.registry import METHODS, STORED_MAP
from adasise_bench.utils.settings import first_problem, shown, suggest


def _own(name: str) -> type[Method]:
    """The class of a method beside the tool's: of maps in files, an installed one, or of a function.

    Raises:
        ValueError: there is no such method.
        ConfigError: an installed method cannot be imported.
    """
    from adasise_bench.methods.custom.custom import GROUP, CustomMethod
    from adasise_bench.methods.stored_map import StoredMap
    from adasise_bench.utils import plugins

    if name == STORED_MAP:
        return StoredMap
    if ":" in name:
        return CustomMethod
    points = plugins.installed(GROUP)
    if name not in points:
        raise ValueError(f"methods: no method {name!r}{suggest(name, [*METHODS, *points])}")
    found = plugins.load(points[name].value)
    is_class = isinstance(found, type) and issubclass(found, Method)
    return found if is_class else CustomMethod


def parse_method(entry: Any) -> Method:
    """Validate one entry under ``methods``: a name, or a mapping with ``name`` and options.

    Raises:
        ValueError: one line naming the method, the key and the nearest valid one.
    """
    if isinstance(entry, Method):
        return entry
    options = {"name": entry} if isinstance(entry, str) else entry
    if not isinstance(options, dict) or not isinstance(options.get("name"), str):
        raise ValueError(f"methods: each entry is a name or a mapping with a `name`, not {shown(entry)}")
    name = options["name"]
    options_class = METHODS[name].load() if name in METHODS else _own(name)
    try:
        return options_class.model_validate(options)
    except ValidationError as error:
        raise ValueError(f"methods.{name}: {first_problem(error, options_class)}") from None
