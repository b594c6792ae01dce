"""Millions of names, and what belongs to each of them, in little memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeVar

import numpy as np

_Value = TypeVar("_Value", covariant=True)


class Names(Collection[str]):
    """Distinct texts in their order, found by their value: 16 bytes each beside the text itself.

    A dictionary of the same texts takes about ten times as much.

    Args:
        names: the texts; a repeated one counts once.
    """

    def __init__(self, names: Iterable[str]) -> None:
        distinct = list(dict.fromkeys(names))
        encoded = [name.encode("utf-8", "surrogatepass") for name in distinct]
        self._text = b"".join(encoded)
        self._ends = np.zeros(len(distinct) + 1, np.uint32 if len(self._text) < 2**32 else np.int64)
        self._ends[1:] = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        hashes = np.fromiter(map(hash, distinct), np.int64, len(distinct))
        self._order = hashes.argsort().astype(np.uint32)
        self._hashes = hashes[self._order]
        self._last: tuple[str, int] | None = None

    def __reduce__(self) -> tuple[type[Names], tuple[list[str]]]:
        """Another process hashes texts to other numbers."""
        return Names, (list(self),)

    def __len__(self) -> int:
        """How many names there are."""
        return len(self._order)

    def __iter__(self) -> Iterator[str]:
        """The names in their order."""
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> str:
        """The name at a place, from 0."""
        start, end = int(self._ends[index]), int(self._ends[index + 1])
        return self._text[start:end].decode("utf-8", "surrogatepass")

    def __contains__(self, name: object) -> bool:
        """Whether a name is there."""
        return isinstance(name, str) and self.find(name) is not None

    def find(self, name: str) -> int | None:
        """The place of a name, from 0; ``None`` if it is not there."""
        last = self._last  # records of one picture come one after the other
        if last is not None and last[0] == name:
            return last[1]
        value = hash(name)
        for place in range(int(self._hashes.searchsorted(value)), len(self)):
            if self._hashes[place] != value:
                break
            index = int(self._order[place])
            if self[index] == name:
                self._last = name, index
                return index
        return None

    def index(self, name: str) -> int:
        """The place of a name, from 0.

        Raises:
            KeyError: it is not there.
        """
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found


class ByName(Mapping[str, _Value]):
    """What belongs to each name, made when it is asked for.

    Args:
        names: the keys, in their order.
        value: gives the value of a name and its place.
    """

    def __init__(self, names: Names, value: Callable[[str, int], _Value]) -> None:
        self.names, self._value = names, value

    def __getitem__(self, name: str) -> _Value:
        """The value of a name.

        Raises:
            KeyError: there is no such name.
        """
        return self._value(name, self.names.index(name))

    def __contains__(self, name: object) -> bool:
        """Whether there is such a name."""
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        """The names in their order."""
        return iter(self.names)

    def __len__(self) -> int:
        """How many names there are."""
        return len(self.names)


def names_of(names: Iterable[str]) -> Names:
    """The names of a collection, without a copy if it has them already."""
    if isinstance(names, ByName):
        return names.names
    return names if isinstance(names, Names) else Names(names)
