"""Restores what code can change for its whole process, such as torch's modes and the working directory."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import overrides

from adasise_bench.utils.errors import BenchError

_READ_BY_TORCH = (
    "TORCH", "PYTORCH", "CUDA", "CUDNN", "CUBLAS", "NVIDIA", "TRITON",
    "OMP_", "KMP_", "MKL", "DNNL", "ONEDNN", "OPENBLAS", "ATEN",
)  # fmt: skip
"""Beginnings of the environment variables that torch and the libraries below it read."""

_SMALLEST_NORMAL = 2.0**-1022


class _Setting(NamedTuple):
    """One setting of the process.

    Attributes:
        name: what a message calls it.
        read: gives its value, in a form that can be compared and that later changes do not alter.
        write: sets it to a value that ``read`` gave.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


@contextmanager
def restored(where: str, *, keep: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Restore everything that the body changes for the whole process, also if the body raises.

    These are restored: torch's default device and dtype, modes that were entered and not left (gradients,
    autocast, anomaly detection), deterministic and cuDNN flags, precision of float32 products,
    threads, hooks of all modules, replaced functions; the working directory, the environment variables that
    torch reads, warning filters, and NumPy's error handling. Random numbers: see :func:`seeded`.

    Args:
        where: what a message calls the code.
        keep: names of settings that the body may change.

    Yields:
        A list, empty until the body has ended; then the names of the settings that it had changed.

    Raises:
        BenchError: names a setting that cannot be restored.
    """
    found = [(setting, setting.read()) for setting in _settings() if setting.name not in keep]
    changed: list[str] = []
    try:
        yield changed
    finally:
        for setting, value in found:
            if setting.read() != value:
                changed.append(setting.name)
                with suppress(Exception):  # what cannot be restored is named below
                    setting.write(value)
        stuck = [
            setting.name for setting, value in found if setting.name in changed and setting.read() != value
        ]
        if stuck:
            raise BenchError(f"{where}: changed {', '.join(stuck)}, which cannot be undone")


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Start the random numbers of Python, NumPy and torch at ``seed``, and restore them afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    on_mps = torch.mps.get_rng_state() if device.type == "mps" else None  # fork_rng knows CUDA's states only
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            if on_mps is not None:
                torch.mps.set_rng_state(on_mps)


def put_back(registry: dict[Any, Any], content: Mapping[Any, Any]) -> None:
    """Restore the content of a dictionary, unless it still has that content."""
    if list(registry) != list(content) or any(registry[key] is not content[key] for key in content):
        registry.clear()
        registry.update(content)


@cache
def _settings() -> tuple[_Setting, ...]:
    """All settings that this torch has; first those that would disturb the reading of others."""
    cudnn, mkldnn, matmul = torch.backends.cudnn, torch.backends.mkldnn, torch.backends.cuda.matmul
    memory, modules = torch.utils.deterministic, torch.nn.modules.module
    return (
        _Setting("torch's default device", _default_device, _set_default_device),
        _Setting("the modes of torch's functions", _function_modes, _set_function_modes),
        _Setting("functions of torch", _functions, _set_functions),
        _Setting("torch's default dtype", _default_type, _set_default_type),
        _Setting("torch's inference mode", torch.is_inference_mode_enabled, lambda _: None),
        _Setting("torch's grad mode", torch.is_grad_enabled, torch.set_grad_enabled),
        _Setting("autocast", _autocast, _set_autocast),
        _Setting("anomaly detection", _anomaly, lambda found: torch.autograd.set_detect_anomaly(*found)),
        _Setting("the hooks of all modules", _hooks, _set_hooks),
        *_attributes("the hooks of all modules", modules, "_global_is_full_backward_hook"),
        _Setting("deterministic algorithms", _deterministic, _set_deterministic),
        *_attributes("deterministic algorithms", memory, "fill_uninitialized_memory"),
        *_attributes("cuDNN's flags", cudnn, "enabled", "benchmark", "benchmark_limit", "deterministic"),
        *_attributes("oneDNN's flags", mkldnn, "enabled", "deterministic"),
        *_attributes(
            "cuBLAS's flags", matmul,
            "allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction",
            "allow_fp16_accumulation",
        ),
        _Setting("the kinds of attention", _attention, _set_attention),
        _Setting("the precision of float32", _float32, _set_float32),
        _Setting("the number of torch's threads", torch.get_num_threads, torch.set_num_threads),
        _Setting("the flushing of denormal numbers", _flushes_denormal, torch.set_flush_denormal),
        _Setting("the current GPU", _gpu, torch.cuda.set_device),
        _Setting("the working directory", _directory, os.chdir),
        _Setting("environment variables", _environment, _set_environment),
        _Setting("warning filters", _warnings, _set_warnings),
        _Setting("NumPy's error handling", np.geterr, lambda found: np.seterr(**found)),
    )  # fmt: skip


def _attributes(name: str, owner: Any, *attributes: str) -> list[_Setting]:
    """Settings that are attributes, if the installed torch has them."""

    def setting(attribute: str) -> _Setting:
        return _Setting(
            name, lambda: getattr(owner, attribute), lambda value: setattr(owner, attribute, value)
        )

    return [setting(attribute) for attribute in attributes if hasattr(owner, attribute)]


def _default_device() -> torch.device:
    try:
        return torch.get_default_device()
    except AttributeError:  # torch 2.8, once somebody has taken a default device back
        return torch.device("cpu")


def _set_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device == torch.device("cpu") else device)


def _function_modes() -> list[Any]:
    return list(overrides._get_current_function_mode_stack())  # type: ignore[no-untyped-call]


def _set_function_modes(modes: list[Any]) -> None:
    while _function_modes():
        overrides._pop_mode()  # type: ignore[no-untyped-call]
    for mode in modes:
        overrides._push_mode(mode)  # type: ignore[no-untyped-call]


@cache
def _function_names() -> dict[Any, list[str]]:
    """The functions in torch's own name spaces; a class there may follow from another setting."""

    def is_function(value: Any) -> bool:
        return callable(value) and not isinstance(value, type)

    owners: tuple[Any, ...] = (torch, torch.nn.functional, torch.Tensor)
    return {
        owner: [name for name in dir(owner) if is_function(getattr(owner, name, None))] for owner in owners
    }


def _functions() -> list[list[Any]]:
    """The functions by their names; ``None`` where a class takes one over from another."""
    return [list(map(vars(owner).get, names)) for owner, names in _function_names().items()]


def _set_functions(found: list[list[Any]]) -> None:
    for (owner, names), values in zip(_function_names().items(), found, strict=True):
        for name, value in zip(names, values, strict=True):
            if value is None and name in vars(owner):
                delattr(owner, name)
            elif vars(owner).get(name) is not value:
                setattr(owner, name, value)


def _default_type() -> str:
    """The default dtype, and whether tensors are made on a GPU by default, as an old-fashioned type."""
    return torch.empty(0).type()


def _set_default_type(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch prefers functions that cannot undo this one
        torch.set_default_tensor_type(name)


def _autocast() -> tuple[Any, ...]:
    kinds = [
        (kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")
    ]
    torch.autocast_increment_nesting()
    return tuple(kinds), torch.is_autocast_cache_enabled(), torch.autocast_decrement_nesting()


def _set_autocast(found: tuple[Any, ...]) -> None:
    kinds, cached, depth = found
    for kind, enabled, dtype in kinds:
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)
    torch.set_autocast_cache_enabled(cached)
    while _autocast()[2] > depth:
        torch.autocast_decrement_nesting()
    while _autocast()[2] < depth:
        torch.autocast_increment_nesting()
    torch.clear_autocast_cache()


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _hook_registries() -> list[dict[Any, Any]]:
    known = vars(torch.nn.modules.module)
    return [value for name, value in known.items() if name.startswith("_global_") and isinstance(value, dict)]


def _hooks() -> list[dict[Any, Any]]:
    return [dict(registry) for registry in _hook_registries()]


def _set_hooks(found: list[dict[Any, Any]]) -> None:
    for registry, content in zip(_hook_registries(), found, strict=True):
        put_back(registry, content)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _set_deterministic(found: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(found[0], warn_only=found[1])


def _attention() -> dict[str, bool]:
    cuda = torch.backends.cuda
    return {
        kind: getattr(cuda, f"{kind}_sdp_enabled")() for kind in ("flash", "mem_efficient", "math", "cudnn")
    }


def _set_attention(found: dict[str, bool]) -> None:
    for kind, enabled in found.items():
        getattr(torch.backends.cuda, f"enable_{kind}_sdp")(enabled)


def _float32() -> tuple[str, ...]:
    """The switches above those of single operations, which ``precision.arithmetic`` puts back."""
    backends: tuple[Any, ...] = (torch.backends, torch.backends.cudnn, torch.backends.mkldnn)
    if not hasattr(torch.backends.cudnn, "fp32_precision"):
        return ()
    general, *others = (backend.fp32_precision for backend in backends)
    return general, *("none" if other == general else other for other in others)


def _set_float32(found: tuple[str, ...]) -> None:
    backends: tuple[Any, ...] = (torch.backends, torch.backends.cudnn, torch.backends.mkldnn)
    for backend, value in zip(backends, found, strict=True):
        backend.fp32_precision = value


def _flushes_denormal() -> bool:
    return _SMALLEST_NORMAL / 2 == 0


def _gpu() -> int:
    """The GPU that torch uses unless told otherwise, 0 at first; reading it must not start CUDA."""
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.current_device() if started else 0


def _directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # somebody removed it
        return ""


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_READ_BY_TORCH)}


def _set_environment(found: dict[str, str]) -> None:
    for name in _environment().keys() - found.keys():
        del os.environ[name]
    os.environ.update(found)


def _warnings() -> tuple[Any, ...]:
    return list(warnings.filters), warnings.showwarning


def _set_warnings(found: tuple[Any, ...]) -> None:
    warnings.filters[:], warnings.showwarning = found  # type: ignore[index]
    with warnings.catch_warnings():  # tells Python that the filters are others now
        pass
