"""What values depend on beside the configuration, as the environment of a run records it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAME = "evidence"
"""Its key in the identity of a run, by which two runs are compared."""

_OF_A_NETWORK = ("classes", "preprocessing", "blocks")


def of_run(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The classes of the data, and what is known of every network, by dotted names.

    A network of the user's own may say itself which classes its outputs stand for, how pictures enter it and
    where its feature maps are read, and the order of the data's classes decides which output is explained.
    Environments of earlier versions record only a part of this.

    Args:
        facts: a run's environment.
    """
    found = {f"data.{name}": value for name, value in of_data(facts).items()}
    for model in facts["models"]:
        found |= {f"models.{model}.{name}": value for name, value in of_network(facts, model).items()}
    return found


def of_data(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the data: its classes, by their numbers."""
    classes = facts["data"].get("classes")
    return {} if classes is None else {"classes": _numbered(classes)}


def of_network(facts: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What is known of one network: classes by the numbers of their outputs, preprocessing, blocks."""
    network = facts["models"][model]
    return {
        name: _numbered(network[name]) if name == "classes" else network[name]
        for name in _OF_A_NETWORK
        if network.get(name) is not None
    }


def _numbered(names: Any) -> dict[str, str]:
    return {str(number): name for number, name in enumerate(names)}
