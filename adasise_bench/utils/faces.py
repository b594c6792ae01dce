"""The faces of rooms: names that a folder offers, and whose modules are only imported when one is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def offers(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a folder that offers names of its modules without importing them at once.

    So whoever needs one light module of a folder does not wait for torch or pandas, which others import.

    Args:
        package: the folder's ``__name__``.
        places: the module, as seen from the folder, in which each name is found.
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{places[name]}"), name)

    return find
