"""The user's own methods: any callable ``(model, image, target) -> map``."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import nn

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.preserve import contained
from adasise_bench.methods.registry import METHODS
from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.lost_device import is_lost_device
from adasise_bench.models.score import image_level
from adasise_bench.utils import plugins
from adasise_bench.utils.errors import BenchError, ConfigError
from adasise_bench.utils.timing import PhaseClock

GROUP = "adasise_bench.methods"
"""The group of entry points by which installed packages offer methods."""


def location_of(name: str) -> str | None:
    """``module:attribute`` behind the name of a user's own method; ``None`` where there is no such method."""
    if ":" in name:
        return name
    point = plugins.installed(GROUP).get(name)
    return point.value if point else None


def custom_definitions(methods: Sequence[Method]) -> dict[str, str]:
    """What the values depend on beside the options and the tool's version.

    For a method that does not come with the tool these are its place, the hash of its source, and the hashes
    of the files that its options name. For every method :meth:`~Method.evidence` is added.

    Raises:
        ConfigError: a method cannot be imported.
        BenchError: the evidence of a method cannot be found out.
    """
    located = {method.name: location_of(method.name) for method in methods if method.name not in METHODS}
    sources = {name: plugins.definition(location) for name, location in located.items() if location}
    files = {
        f"{method.label}.{option}": digest
        for method in methods
        if located.get(method.name)
        for option, digest in plugins.named_files(method.model_dump(exclude={"name", "label"})).items()
    }
    evidence = {name: value for method in methods for name, value in method.evidence().items()}
    return sources | files | evidence


class CustomMethod(Method):
    """A function that takes the network, an image and a class, and returns a map.

    It is called as ``function(model, image, target, **options)``:

    - ``model``: the network, an ``nn.Module`` in evaluation mode. It takes (N, 3, H, W) preprocessed inputs
      and gives (N, C) raw outputs. Its parameters do not require gradients.
    - ``image``: (1, 3, H, W) float32 network input, a leaf that requires its gradient.
    - ``target``: index of the class.

    It returns a tensor (dense or sparse) or an array of shape (H, W) with real numbers, none of them
    negative. Leading dimensions of 1 are dropped. A map of another size is resized bilinearly. Maps are kept
    in float32; where all values of a map become equal by this, a note on stderr says so.

    The function runs in fp32 with gradients enabled. The random numbers of Python, NumPy and torch begin at
    the seed of the request. Afterwards the network, and what is set for the whole process, are as they were
    before. The options and the image are copies.
    """

    name: str
    options: dict[str, Any] = Field({}, description="keyword arguments of the function")
    negative: Literal["refuse", "clamp"] = Field("refuse", description="what becomes of negative values")

    @model_validator(mode="before")
    @classmethod
    def _label_defaults_to_name(cls, value: Any) -> Any:
        """The function's name without its module."""
        if not isinstance(value, dict) or value.get("label"):
            return value
        return value | {"label": str(value.get("name")).rpartition(":")[2]}

    @property
    def _location(self) -> str:
        location = location_of(self.name)
        if location is None:
            raise ConfigError(f"methods.{self.name}: no longer installed")
        return location

    def changed_options(self) -> dict[str, Any]:
        """The function's arguments, and ``negative`` where it is not the default."""
        kept = self.model_dump(mode="json", include={"negative"}, exclude_defaults=True)
        arguments: dict[str, Any] = self.model_dump(mode="json")["options"]
        return arguments | kept

    def check_settings(self) -> None:
        """Import the function, and refuse arguments that it does not take.

        Raises:
            ConfigError: one line naming the function and what is wrong.
        """
        plugins.check_arguments(self._location, "model", "image", 0, **self.options)

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """Call the function; see :meth:`Method.explain`.

        Raises:
            BenchError: the function raises, or gives no map; names it.
        """
        function = plugins.load_function(self._location)
        module, device = classifier.module, classifier.device
        image = request.image.detach().clone().requires_grad_()
        with (
            contained(self.name, module, request.seed, device),
            _counted(module) as count,
            torch.enable_grad(),
        ):
            result = self._call(function, module, image, request.target)
        with self._errors_named():
            saliency = self._map(result, (request.image.shape[2], request.image.shape[3])).to(device)
        return Explanation(saliency, count.forwards, count.backwards)

    def _call(self, function: Callable[..., Any], module: nn.Module, image: torch.Tensor, target: int) -> Any:
        with self._errors_named():
            return function(module, image, target, **copy.deepcopy(self.options))

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        """Turn anything that the function raises, or that its map causes, into the error of one record.

        Raises:
            BenchError: instead of the exception. Exceptions that more memory or another device can mend stay
                as they are.
        """
        try:
            yield
        except (BenchError, KeyboardInterrupt):
            raise
        except BaseException as error:
            if isinstance(error, MemoryError) or is_lost_device(error):
                raise
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            raise BenchError(f"{self.name}: {plugins.reason(error)}") from None

    def _map(self, result: Any, size: tuple[int, int]) -> torch.Tensor:
        """What the function returned, as an (H, W) float32 map of the input's size.

        It is a copy, because the function may keep what it returned, and write into it again.

        Raises:
            BenchError: it is no map, or has negative values.
        """
        if isinstance(result, np.ndarray) and result.dtype.kind in "fiub":
            if np.ma.is_masked(result):
                raise BenchError(f"{self.name}: gave a masked array; fill its masked values in")
            result = torch.from_numpy(_for_torch(result))
        if not isinstance(result, torch.Tensor) or result.is_complex():
            raise BenchError(f"{self.name}: gave a {type(result).__name__}, not a map of real numbers")
        if result.is_meta:
            raise BenchError(f"{self.name}: gave a tensor on the meta device, which has no values")
        values = result.detach().to_dense() if result.layout != torch.strided else result.detach()
        saliency = values.to(torch.float32, copy=True)
        if _becomes_flat(values, saliency):
            _say_once(
                f"note: {self.name}: gave a map in {str(values.dtype).removeprefix('torch.')} whose values "
                "become one and the same in float32, in which maps are kept; it counts as degenerate. "
                "Shift and scale it, so that its values differ by more than 1e-7 of the largest"
            )
        while saliency.ndim > 2 and saliency.shape[0] == 1:
            saliency = saliency[0]
        if saliency.ndim != 2 or not saliency.numel():
            raise BenchError(f"{self.name}: gave a map of shape {tuple(result.shape)}, not (H, W)")
        if self.negative == "clamp":
            saliency = saliency.clamp(min=0)
        elif bool((saliency < 0).any()):
            raise BenchError(
                f"{self.name}: the map has negative values, down to {saliency.min():.3g}; clamp or shift it, "
                "or set `negative: clamp`"
            )
        if saliency.shape != size:
            saliency = F.interpolate(saliency[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        return saliency.contiguous()

    def expected_forwards(self, maps_available: tuple[int, ...]) -> None:
        """Unknown before the function has run."""


def _for_torch(array: NDArray[Any]) -> NDArray[Any]:
    """A copy of an array that torch can read: bytes in the machine's order, and float64 at most."""
    kind = array.dtype.newbyteorder("=")
    return np.array(array, dtype=np.float64 if kind.kind == "f" and kind.itemsize > 8 else kind, order="C")


def _becomes_flat(values: torch.Tensor, saliency: torch.Tensor) -> bool:
    """Whether the values of a map differ, but are all equal in float32; finer types alone are looked at."""
    if values.dtype not in (torch.float64, torch.int32, torch.int64, torch.uint32, torch.uint64):
        return False
    flat = saliency.numel() > 0 and bool((saliency == saliency.flatten()[0]).all())
    return flat and bool((values != values.flatten()[0]).any())


@cache
def _say_once(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


@dataclass
class _Count:
    """Inputs passed through a network so far, forward and backward."""

    forwards: int = 0
    backwards: int = 0

    def backward(self, gradient: torch.Tensor) -> None:
        self.backwards += len(gradient)


@contextmanager
def _counted(module: nn.Module) -> Iterator[_Count]:
    """Count the inputs that pass through a network; outputs with positions are averaged over them."""
    count = _Count()

    def hook(_module: nn.Module, _inputs: object, outputs: torch.Tensor) -> torch.Tensor:
        outputs = image_level(outputs)
        count.forwards += len(outputs)
        if outputs.requires_grad:
            outputs.register_hook(count.backward)  # type: ignore[no-untyped-call]
        return outputs

    handle = module.register_forward_hook(hook)
    try:
        yield count
    finally:
        handle.remove()
