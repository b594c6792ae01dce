"""What Linux tells of the machine, and what is said where it tells nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest
import torch

from adasise_bench.utils.devices import machine
from adasise_bench.utils.hardware import cpu_name, memory_bytes, nvidia_driver

DRIVERS = {
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
    "GCC version:  gcc version 12.2.0\n": "550.54.15",
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder)\n": (
        "570.86.15"
    ),
    "": None,
    "of another form\n": None,
}


@pytest.fixture
def _without_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "read_text", absent)


@pytest.mark.usefixtures("_without_linux")
def test_a_processor_has_a_name_without_linux() -> None:
    assert cpu_name() in (platform.processor(), platform.machine())
    assert machine(torch.device("cpu"))[0] == cpu_name()


@pytest.mark.usefixtures("_without_linux")
def test_no_driver_and_no_memory_without_linux() -> None:
    assert nvidia_driver() is None
    with pytest.raises(FileNotFoundError):
        memory_bytes()


@pytest.mark.parametrize(("text", "version"), DRIVERS.items())
def test_the_driver_stands_in_the_first_line(
    monkeypatch: pytest.MonkeyPatch, text: str, version: str | None
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda _: text)
    assert nvidia_driver() == version


def test_memory_is_that_of_the_machine() -> None:
    total, available = memory_bytes()
    # The C library counts the same memory in pages.
    assert total == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < available < total
