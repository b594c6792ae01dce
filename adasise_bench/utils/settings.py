"""Turns validation failures into one line that names the key and the nearest valid one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
)


def suggest(name: str, valid: Iterable[str], given: Iterable[str] = ()) -> str:
    """A clause that names the nearest of the ``valid`` names, or all of them if none is near.

    Names that are ``given`` already are not proposed again, as long as others are left.
    """
    named = {str(other) for other in given}
    every = [str(other) for other in valid]
    valid = [other for other in every if other not in named] or every
    nearest = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"; did you mean {nearest[0]!r}?" if nearest else f"; valid: {', '.join(valid)}"


_LIST, _KEYS, _WHOLE = (
    "write a list, such as [first, second]",
    "write keys with values",
    "write a whole number",
)

_PLAINER = {
    "tuple_type": _LIST, "list_type": _LIST,
    "dict_type": _KEYS, "model_type": _KEYS + ", or {} for the defaults",
    "int_type": _WHOLE, "int_parsing": _WHOLE, "int_from_float": _WHOLE,
    "float_type": "write a number", "float_parsing": "write a number",
    "bool_type": "write true or false", "bool_parsing": "write true or false",
}  # fmt: skip
"""What to write, by pydantic's type of a failure; its own words are those of a programmer."""


def first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    """The first failure of validating ``model``, in one line.

    What is missing comes last: a key that is misspelt is then missing as well, and only the former helps.
    """
    first = min(error.errors(include_url=False), key=lambda failure: failure["type"] == "missing")
    location = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        owner = _section(model, location[:-1])
        return (
            f"unknown key {'.'.join(location)!r}{suggest(location[-1], owner.model_fields if owner else [])}"
        )
    message = first["msg"].removeprefix("Value error, ")
    if not location or first["type"] == "value_error":
        return message
    message = _PLAINER.get(first["type"], message)
    given = "" if first["type"] == "missing" else f" (given: {shown(first['input'])})"
    return f"key {'.'.join(location)!r}: {message}{given}"


def shown(value: Any) -> str:
    """The beginning of a value of any kind, for a message."""
    try:
        return repr(str(value)[:80])
    except (ValueError, RecursionError):  # too many digits, too many levels
        return f"a {type(value).__name__} too large to show"


def _section(model: type[BaseModel], location: list[str]) -> type[BaseModel] | None:
    """The class of the configuration section that a key's location leads to."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            current = current.model_fields[part].annotation
        else:
            current = current.__args__[-1]
            current = getattr(current, "__origin__", current)  # of Annotated[Section, ...]
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


class Section(BaseModel):
    """A part of the configuration; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
