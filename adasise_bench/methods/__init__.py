"""The saliency methods. A method is a subclass of :class:`Method` in a file of its own."""

from typing import TYPE_CHECKING

from adasise_bench.utils.faces import offers

if TYPE_CHECKING:
    from adasise_bench.methods.base import Explanation, Method, Request
    from adasise_bench.methods.parsing import parse_method
    from adasise_bench.methods.registry import METHODS, MethodEntry

__all__ = ["METHODS", "Explanation", "Method", "MethodEntry", "Request", "parse_method"]

__getattr__ = offers(
    __name__,
    {
        "METHODS": "registry",
        "MethodEntry": "registry",
        "Explanation": "base",
        "Method": "base",
        "Request": "base",
        "parse_method": "parsing",
    },
)
