"""The saliency methods. A method is a subclass of :class:`Method` in a file of its own."""

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.registry import METHODS, MethodEntry

__all__ = ["METHODS", "Explanation", "Method", "MethodEntry", "Request", "parse_method"]
