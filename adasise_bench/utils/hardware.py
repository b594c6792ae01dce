"""What the operating system tells of the machine. Nothing here imports torch, which may be broken."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu_name() -> str:
    """The processor's name as its maker gives it; its kind, such as ``x86_64``, where Linux tells none."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def nvidia_driver() -> str | None:
    """The version of the NVIDIA driver that the kernel has loaded; ``None`` without one."""
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0].split("  ")[1].strip()
    except (OSError, IndexError):
        return None


def memory_bytes() -> tuple[int, int]:
    """The machine's memory, and how much of it a new program could use.

    Raises:
        OSError: it cannot be read, as on systems other than Linux.
        KeyError: the kernel does not tell both.
    """
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {words[0]: int(words[1]) for words in lines}
    return kilobytes["MemTotal:"] * 1024, kilobytes["MemAvailable:"] * 1024
