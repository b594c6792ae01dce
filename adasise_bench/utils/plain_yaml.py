"""Reads YAML files of settings: only plain data, and nothing that a few lines can make huge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

LARGEST = 64 * 1024
"""The most bytes of a file of settings; those of this tool have less than 2000."""


class _PlainLoader(yaml.SafeLoader):
    """YAML without what settings never need: repeated keys, anchors, huge numbers, halves of characters."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _refused("anchors and aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _refused(f"key {key.value!r} is given twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_int(self, node: yaml.ScalarNode) -> int:
        value: int = self.construct_yaml_int(node)
        if value.bit_length() > 63:
            raise _refused(f"number {node.value[:20]}... is too large", node.start_mark)
        return value

    def construct_text(self, node: yaml.ScalarNode) -> str:
        value: str = self.construct_yaml_str(node)
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            told = f"{value[:20]!r} holds what no text does: NUL or half a character"
            raise _refused(told, node.start_mark)
        return value

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, KeyError):  # PyYAML's, for a date such as 2024-13-45
            kind = node.tag.rpartition(":")[2]
            told = f"{str(node.value)[:20]!r} is no {kind}; put it in quotes if it is a text"
            raise _refused(told, node.start_mark) from None


def _refused(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_int)
_PlainLoader.add_constructor("tag:yaml.org,2002:str", _PlainLoader.construct_text)


def parse(text: str) -> Any:
    """The plain data in a text.

    Raises:
        ValueError: one line that says what is wrong.
    """
    if len(text) > LARGEST:
        raise ValueError(f"more than {LARGEST // 1024} KiB")
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - derives from SafeLoader
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        raise ValueError(_located(error)) from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(" ".join(str(error).split()).replace(' in "<unicode string>"', "")) from None


def _located(error: yaml.MarkedYAMLError) -> str:
    """The problem and where it is; PyYAML's own text has the lines of the file with an arrow below them."""
    parts = ((error.problem, error.problem_mark), (error.context, error.context_mark))
    told = [
        f"{what} (line {mark.line + 1}, column {mark.column + 1})" if mark else what
        for what, mark in parts
        if what
    ]
    return " ".join(", ".join(told).split())


def read_text(path: Path) -> str:
    """The text of a file of settings, as far as :func:`parse` accepts it.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8, or its name cannot be one.
    """
    with path.open("rb") as file:
        return file.read(LARGEST + 1).decode("utf-8")
