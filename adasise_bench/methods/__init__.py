"""The saliency methods by name. A method is a subclass of :class:`MethodOptions` in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from pydantic import ValidationError

from adasise_bench.methods.base import Explanation, MethodOptions, Request
from adasise_bench.validation import first_problem, shown, suggest

__all__ = ["METHODS", "Explanation", "MethodEntry", "MethodOptions", "Request", "parse_method"]


class MethodEntry(NamedTuple):
    """Where a method lives, one line about it, and the name of what it computes with its default options.

    A change that moves the maps by more than rounding takes a new name.
    """

    location: str
    summary: str
    definition: str

    def load(self) -> type[MethodOptions]:
        """Import the method's options class."""
        module, _, attribute = self.location.partition(":")
        loaded: type[MethodOptions] = getattr(import_module(module), attribute)
        return loaded


METHODS: Mapping[str, MethodEntry] = {
    "sise": MethodEntry(
        "adasise_bench.methods.sise:Sise",
        "SISE: feature maps with positive gradient as masks, fused over blocks (arXiv 2010.00672)",
        "sise-v1",
    ),
    "ada_sise": MethodEntry(
        "adasise_bench.methods.sise:AdaSise",
        "Ada-SISE: SISE with an adaptive threshold on the maps' gradients (arXiv 2102.07799)",
        "ada-sise-v1",
    ),
    "extremal_perturbation": MethodEntry(
        "adasise_bench.methods.extremal_perturbation:ExtremalPerturbation",
        "Extremal Perturbation: optimised masks of fixed areas (Fong et al., ICCV 2019)",
        "extremal-perturbation-v1",
    ),
}


def _own(name: str) -> type[MethodOptions]:
    """The options of a method of the user's own: an installed class, or those of any function.

    Raises:
        ValueError: there is no such method.
        ConfigError: an installed one cannot be imported.
    """
    from adasise_bench import user_code
    from adasise_bench.methods.own import GROUP, OwnMethod

    if ":" in name:
        return OwnMethod
    points = user_code.installed(GROUP)
    if name not in points:
        raise ValueError(f"methods: no method {name!r}{suggest(name, [*METHODS, *points])}")
    found = user_code.load(points[name].value)
    is_class = isinstance(found, type) and issubclass(found, MethodOptions)
    return found if is_class else OwnMethod


def parse_method(entry: Any) -> MethodOptions:
    """Validate one entry under ``methods``: a name, or a mapping with ``name`` and options.

    Raises:
        ValueError: one line naming the method, the key and the nearest valid one.
    """
    if isinstance(entry, MethodOptions):
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
