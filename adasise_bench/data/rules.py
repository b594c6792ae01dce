"""The rules by which maps are made and measured where the protocol and the authors' code differ."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from adasise_bench.utils.settings import Section, shown, suggest

Ties = Literal["row-major", "strict"]
"""Which of equal pixels belong to the highest N: the first ones in row-major order, or none of them."""

Corners = Literal["minus-one", "no-minus-one"]
"""Whether the first row and column of a box, which VOC counts from 1, are counted from 0."""

Inputs = Literal["normalised", "unnormalised-antialiased"]
"""How a picture becomes a network's input; see :class:`.Preprocessing`."""

OtsuRule = Literal["plain", "raised"]
"""Whether Otsu's threshold in the fusion of SISE is raised where few pixels reach the raised one."""


class Rules(Section):
    """One choice for each point in which the authors' published code differs from the protocol.

    A configuration writes the name of a set, or a mapping of single rules. A mapping starts from the set that
    its key ``set`` names; without it, from ``protocol``.

    Example:
        >>> from adasise_bench.data.rules import Rules
        >>> Rules.model_validate({"set": "authors-code", "otsu": "plain"}).changed()
        {'ties': 'strict', 'corners': 'no-minus-one', 'preprocessing': 'unnormalised-antialiased'}
    """

    ties: Ties = Field("row-major", description="which of equal pixels belong to the highest N")
    corners: Corners = Field("minus-one", description="how VOC's 1-based corners become pixels of the input")
    preprocessing: Inputs = Field("normalised", description="how a picture becomes a network's input")
    otsu: OtsuRule = Field("plain", description="Otsu's threshold in the fusion of SISE and Ada-SISE")

    @model_validator(mode="before")
    @classmethod
    def _from_a_set(cls, given: Any) -> Any:
        if isinstance(given, str):
            return _named(given)
        if not isinstance(given, Mapping):
            if isinstance(given, Rules):
                return given
            raise ValueError(f"rules: write protocol, authors-code or a mapping of rules, not {shown(given)}")
        own = {name: value for name, value in given.items() if name != "set"}
        for name, value in own.items():
            if name not in cls.model_fields:
                raise ValueError(f"rules: no rule {name!r}{suggest(str(name), [*cls.model_fields, 'set'])}")
            choices = cls.model_fields[name].annotation.__args__  # type: ignore[union-attr]
            if value not in choices:
                raise ValueError(f"rules.{name}: no choice {shown(value)}{suggest(str(value), choices)}")
        return {**_named(given.get("set", "protocol")), **own}

    def changed(self) -> dict[str, str]:
        """The rules that are not the protocol's, by name."""
        return {name: value for name, value in self if value != getattr(PROTOCOL, name)}

    @property
    def title(self) -> str:
        """The name of the set, or the rules that differ from the protocol, in words."""
        for name, rules in SETS.items():
            if rules == self.model_dump():
                return name
        return ", ".join(f"{name}: {value}" for name, value in self.changed().items())


def _named(name: Any) -> dict[str, str]:
    if not isinstance(name, str) or name not in SETS:
        raise ValueError(f"rules: no set of rules {shown(name)}{suggest(str(name), SETS)}")
    return dict(SETS[name])


SETS: Mapping[str, Mapping[str, str]] = MappingProxyType({
    "protocol": {
        "ties": "row-major", "corners": "minus-one", "preprocessing": "normalised", "otsu": "plain",
    },
    "authors-code": {
        "ties": "strict", "corners": "no-minus-one", "preprocessing": "unnormalised-antialiased",
        "otsu": "raised",
    },
})  # fmt: skip
"""The sets of rules that have a name."""

PROTOCOL = Rules()
