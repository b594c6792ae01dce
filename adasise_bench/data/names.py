"""Millions of names, and what belongs to each of them, in little memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, ItemsView, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Value = TypeVar("_Value", covariant=True)

AT_ONCE = 16_384
"""How many names are made into Python objects at once where all of them are gone through."""


class Names(Collection[str]):
    """Distinct texts in their order, found by their value: 16 bytes each beside the text itself.

    A dictionary of the same texts takes about ten times as much.

    Args:
        names: the texts; a repeated one counts once.

    Attributes:
        text: all of them, one after the other, in UTF-8.
        ends: (names + 1,) where each begins in ``text``, and where the last one ends.
    """

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [name.encode("utf-8", "surrogatepass") for name in dict.fromkeys(names)]
        ends = np.zeros(len(encoded) + 1, np.int64)
        ends[1:] = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        self._keep(b"".join(encoded), ends)

    @classmethod
    def of(cls, text: bytes, ends: NDArray[np.integer[Any]]) -> Names:
        """The names that another object had as :attr:`text` and :attr:`ends`."""
        names = cls.__new__(cls)
        names._keep(text, ends)
        return names

    def _keep(self, text: bytes, ends: NDArray[np.integer[Any]]) -> None:
        self.text = text
        self.ends = ends.astype(np.uint32 if len(text) < 2**32 else np.int64)
        self._last: tuple[str, int] | None = None

    def __reduce__(self) -> tuple[Callable[..., Names], tuple[bytes, NDArray[Any]]]:
        """Without the hashes of the texts, which are other ones in another process."""
        return Names.of, (self.text, self.ends)

    @cached_property
    def _by_hash(self) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """The hashes of the names in ascending order, and the places of their names."""
        hashes = np.fromiter(map(hash, self), np.int64, len(self))
        order = hashes.argsort().astype(np.uint32)
        return hashes[order], order

    def __len__(self) -> int:
        """How many names there are."""
        return len(self.ends) - 1

    def __iter__(self) -> Iterator[str]:
        """The names in their order."""
        for first in range(0, len(self), AT_ONCE):
            ends = self.ends[first : first + AT_ONCE + 1].tolist()
            text = self.text[ends[0] : ends[-1]]
            if text.isascii():  # then one decoding gives all
                ends = [end - ends[0] for end in ends]
                yield from map(text.decode("ascii").__getitem__, map(slice, ends, ends[1:]))
            else:
                for start, end in pairwise(ends):
                    yield self.text[start:end].decode("utf-8", "surrogatepass")

    def __getitem__(self, index: int) -> str:
        """The name at a place, from 0."""
        start, end = int(self.ends[index]), int(self.ends[index + 1])
        return self.text[start:end].decode("utf-8", "surrogatepass")

    def same_as(self, other: Names) -> bool:
        """Whether these are the same names in the same order."""
        return self.text == other.text and np.array_equal(self.ends, other.ends)

    def __contains__(self, name: object) -> bool:
        """Whether a name is there."""
        return isinstance(name, str) and self.find(name) is not None

    def find(self, name: str) -> int | None:
        """The place of a name, from 0; ``None`` if it is not there."""
        last = self._last  # records of one picture come one after the other
        if last is not None and last[0] == name:
            return last[1]
        value = hash(name)
        hashes, order = self._by_hash
        for place in range(int(hashes.searchsorted(value)), len(self)):
            if hashes[place] != value:
                break
            index = int(order[place])
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

    def in_order(self) -> Iterator[tuple[str, _Value]]:
        """The names with their values, without looking any of them up."""
        for index, name in enumerate(self.names):
            yield name, self._value(name, index)

    def items(self) -> ItemsView[str, _Value]:
        """The names with their values."""
        return _Items(self)


class _Items(ItemsView[str, _Value]):
    """The items of a :class:`ByName`, which are found by their places."""

    _mapping: ByName[_Value]

    def __iter__(self) -> Iterator[tuple[str, _Value]]:
        return self._mapping.in_order()


def names_of(names: Iterable[str]) -> Names:
    """The names of a collection, without a copy if it has them already."""
    if isinstance(names, ByName):
        return names.names
    return names if isinstance(names, Names) else Names(names)
