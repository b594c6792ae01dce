"""What this machine and this installation are, so that a fault can be understood elsewhere.

Each fact is found on its own, and torch is imported only where a fact needs it: a broken installation still
tells everything else, and what is broken.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from adasise_bench import __version__
from adasise_bench.utils.errors import text_of
from adasise_bench.utils.hardware import cpu_name, memory_bytes, nvidia_driver
from adasise_bench.utils.messages import printable
from adasise_bench.utils.versions import package_version, tool_commit

_IMPORTED = ("torch", "torchvision")
"""Packages whose compiled parts may not fit each other or the driver, which shows only when they load."""

_PACKAGES = ("torchray", "numpy", "pillow", "zennit", "ray", "timm", "pycocotools", "captum", "nncf")

_LONGEST = 200

Find = Callable[[], str]


def system_info() -> dict[str, dict[str, str]]:
    """Facts by section and name, in the order in which they are shown.

    Nothing is raised: the value of what cannot be found out is ``unknown`` with the reason. The home folder
    is written ``~`` and the user's name in a path ``USER``; the machine's name is not told.
    """
    sections = {
        "versions": _versions(),
        "machine": _machine(),
        "devices": _devices(),
        "engines": _engines(),
        "places": _places(),
    }
    return {
        section: {name: _told(find) for name, find in facts.items()} for section, facts in sections.items()
    }


def describe_system(info: Mapping[str, Mapping[str, str]]) -> str:
    """The facts of :func:`system_info` for people, one a line."""
    lines = []
    for section, facts in info.items():
        lines += [section.capitalize(), *(f"  {name:22} {value}" for name, value in facts.items())]
    return "\n".join(lines)


def _told(find: Find) -> str:
    """What was found, or why it was not, in one line that names nobody."""
    try:
        told = find()
    except Exception as error:  # an installation can be broken in any way
        told = f"unknown: {_reason(error)}"
    line = _anonymous(printable(told))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 4]} ..."


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {text_of(error)}"


def _anonymous(line: str) -> str:
    """The line without the home folder's path and without the user's name in other paths."""
    home = os.path.expanduser("~")  # noqa: PTH111 - unlike Path's, it fails for nobody
    for folder in {home, os.path.realpath(home)} - {"~", "/"}:
        line = re.sub(rf"(?<![\w.-]){re.escape(folder)}(?![\w.-])", "~", line)
    for name in {Path(home).name, _user()} - {"~", ""}:
        word = re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")
        line = " ".join(word.sub("USER", part) if "/" in part else part for part in line.split(" "))
    return line


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name, as in some containers
        return ""


@cache
def _module(name: str) -> ModuleType | Exception:
    """A module, or why it cannot be imported: a second attempt would fail for another, misleading reason."""
    try:
        return import_module(name)
    except Exception as error:  # of any kind: a library that is missing, or that does not fit
        return error


def _torch() -> ModuleType:
    """Torch; the exception of its import is raised again wherever it is needed."""
    found = _module("torch")
    if isinstance(found, Exception):
        raise found
    return found


def _versions() -> dict[str, Find]:
    return {
        "adasise-bench": lambda: __version__,
        "commit": lambda: tool_commit() or "none: not run from a git checkout",
        "Python": lambda: f"{platform.python_version()} ({platform.python_implementation()})",
        **{name: partial(_imported, name) for name in _IMPORTED},
        **{name: partial(_installed, name) for name in _PACKAGES},
    }


def _installed(package: str) -> str:
    return package_version(package) or "not installed"


def _imported(package: str) -> str:
    """The version that a package tells when it is imported; torch's also says what it is built for."""
    found = _module(package)
    if isinstance(found, Exception):
        return f"{_installed(package)}; its import fails: {_reason(found)}"
    return str(found.__version__)


def _machine() -> dict[str, Find]:
    return {
        "system": platform.platform,
        "distribution": lambda: platform.freedesktop_os_release()["PRETTY_NAME"],
        "processor": cpu_name,
        "instructions": _instructions,
        "cores": lambda: f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}",
        "threads": _threads,
        "memory": _memory,
    }


def _instructions() -> str:
    return str(_torch().backends.cpu.get_cpu_capability())


def _threads() -> str:
    return str(_torch().get_num_threads())


def _memory() -> str:
    total, available = memory_bytes()
    return f"{total / 2**30:.1f} GiB, of which {available / 2**30:.1f} GiB are available"


def _devices() -> dict[str, Find]:
    """What ``--device`` can name, and what decides over GPUs."""
    return {
        "auto": _automatic,
        "cpu": cpu_name,
        **_gpus(),
        "mps": _mps,
        "CUDA of torch": _cuda,
        "cuDNN": _cudnn,
        "NVIDIA driver": lambda: nvidia_driver() or "not loaded",
    }


def _automatic() -> str:
    _torch()
    from adasise_bench.utils.devices import pick_device

    return str(pick_device("auto"))


def _mps() -> str:
    _torch()
    from adasise_bench.utils.devices import missing_mps

    problem = missing_mps()
    return f"none: {problem}" if problem else "Apple's GPU, which `auto` does not choose"


def _gpus() -> dict[str, Find]:
    """The GPUs that torch can use, by the names that ``--device`` takes; without one, why there is none."""
    try:
        count, warned = _count_gpus()
    except Exception as error:  # one of the facts, as in `_told`
        why = f"unknown: {_reason(error)}"
        return {"cuda": lambda: why}
    if not count:
        return {"cuda": lambda: f"none: {warned or 'torch finds no GPU'}"}
    return {f"cuda:{number}": partial(_gpu, number) for number in range(count)}


def _count_gpus() -> tuple[int, str]:
    """How many GPUs torch can use, and what it warns of: a driver that is too old, for example."""
    cuda = _torch().cuda
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = cuda.device_count() if cuda.is_available() else 0
    return count, "; ".join(str(warning.message) for warning in caught)


def _gpu(number: int) -> str:
    cuda = _torch().cuda
    major, minor = cuda.get_device_capability(number)
    memory = cuda.get_device_properties(number).total_memory / 2**30
    return f"{cuda.get_device_name(number)}, {memory:.1f} GiB, compute capability {major}.{minor}"


def _cuda() -> str:
    return _torch().version.cuda or "none: torch is built for CPUs only"


def _cudnn() -> str:
    return str(_torch().backends.cudnn.version() or "none")


def _engines() -> dict[str, Find]:
    """What could pass inputs through a network."""
    return {
        "torch": partial(_imported, "torch"),
        "torch.compile, CPU": _cpu_compiler,
        "torch.compile, GPU": _gpu_compiler,
        "openvino": partial(_installed, "openvino"),
    }


def _cpu_compiler() -> str:
    """torch compiles for a CPU by ``$CXX``, or by g++."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler):
        return f"can be used: its compiler is {compiler}"
    return f"cannot be used: it needs {compiler}, which is not installed"


def _gpu_compiler() -> str:
    """torch compiles for a GPU by Triton."""
    triton = package_version("triton")
    if triton:
        return f"can be used where there is a GPU: its compiler is Triton {triton}"
    return "cannot be used: it needs Triton, which is not installed"


def _places() -> dict[str, Find]:
    """Where a run keeps and looks for its files, unless it is told otherwise."""
    return {
        "engines": _engine_cache,
        "torch's downloads": _torch_downloads,
        "data": _data,
        "results": lambda: _place(Path("results")),
    }


def _engine_cache() -> str:
    _torch()
    from adasise_bench.models.engine_cache import cache_file

    return _place(cache_file())


def _torch_downloads() -> str:
    return _place(Path(_torch().hub.get_dir()))


def _data() -> str:
    from adasise_bench.data.config import DataConfig

    return _place(DataConfig().root)


def _place(path: Path) -> str:
    beginning = "" if path.is_absolute() else " in the working directory"
    return f"{path}{beginning}{'' if path.exists() else ' (not there yet)'}"
