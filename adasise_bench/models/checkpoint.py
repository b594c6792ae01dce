"""Finds, downloads and reads checkpoints, and never executes their content."""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from argparse import Namespace
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors.torch import load_file

from adasise_bench.utils.errors import WeightsError
from adasise_bench.utils.files import regular

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
_FORBIDDEN = re.compile(r"Unsupported global: GLOBAL ([\w.]{1,80})")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"{path}: cannot read the weights: {reason}") from None


def place_of(url: str) -> Path:
    """The file in torch's cache that a checkpoint is downloaded to."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def fetch(url: str) -> Path:
    """Download a checkpoint into torch's cache, unless it is there already. The caller checks its hash.

    Raises:
        WeightsError: the download failed.
    """
    target = place_of(url)
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        match = _HASH_IN_NAME.search(target.name)
        torch.hub.download_url_to_file(url, str(target), hash_prefix=match.group(1) if match else None)
    except (URLError, HTTPException, OSError, RuntimeError) as error:
        raise WeightsError(
            f"{url}: download failed ({error}); fetch it by hand and name the file: "
            "`explain --checkpoint FILE`, or models.NETWORK.checkpoint in a configuration"
        ) from None
    return target


def verify(path: Path, prefix: str | None) -> str:
    """SHA-256 of a checkpoint, which must begin with ``prefix`` where this is given.

    Raises:
        WeightsError: the file cannot be read, or has another hash.
    """
    digest = sha256_of(path)
    expected = (prefix or "").lower()
    if not digest.startswith(expected):
        raise WeightsError(
            f"{path}: SHA-256 starts with {digest[: len(expected)]}, expected {expected}; "
            "the file is damaged or another one: remove it and fetch it again"
        )
    return digest


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a checkpoint (torch or safetensors) that is a mapping of names to tensors. Any other is refused.

    Raises:
        WeightsError: the file is no such checkpoint, or a tensor is not finite.
    """
    return checked_state(path, read_content(path))


def read_content(path: Path) -> Any:
    """The content of a checkpoint (torch or safetensors): tensors, plain data, and containers of them.

    torch reads these without executing anything. An ``argparse.Namespace`` is allowed as well, in which
    training scripts such as timm's keep their settings, because it only holds values.

    Raises:
        WeightsError: the file cannot be read without executing its content. The message says what the file
            is, where that is known.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _refuse_bomb(path)
        with warnings.catch_warnings(), torch.serialization.safe_globals([Namespace]):
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers can raise any exception on a damaged file
        raise WeightsError(
            f"{path}: no checkpoint that can be read safely: {_what_it_is(path, error)}"
        ) from None


def _what_it_is(path: Path, error: Exception) -> str:
    """What kind of file torch could not read safely, and what to save instead where that is known."""
    cure = "save the network's state_dict() instead"
    with suppress(Exception), zipfile.ZipFile(path) as archive:
        members = {name.partition("/")[2] for name in archive.namelist()}
        for maker, member in (("TorchScript", "constants.pkl"), ("torch.export", "archive_format")):
            if member in members:
                return f"an archive of {maker}; {cure}"
    if match := _FORBIDDEN.search(str(error)):
        return f"it holds a {match[1]}, which only running code could make; {cure}"
    return "neither safetensors nor tensors saved by torch"


def checked_state(path: Path, state: Any) -> dict[str, torch.Tensor]:
    """Check that the content of a checkpoint is a mapping of names to finite tensors, and return it.

    Raises:
        WeightsError: the content is something else.
    """
    if not isinstance(state, dict) or not state:
        raise WeightsError(f"{path}: not a mapping of parameter names to tensors")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise WeightsError(f"{path}: entry {str(name)[:80]!r} is not a tensor")
        if not is_plain(value):
            raise WeightsError(f"{path}: {name!r} is not a plain tensor of numbers in memory")
        if not torch.isfinite(value).all():
            raise WeightsError(f"{path}: weights of {name!r} are not finite")
    return state


def _refuse_bomb(path: Path) -> None:
    """Refuse a zip archive whose content is larger than the file. torch does not compress its archives.

    Raises:
        ValueError: the file is such an archive.
        OSError, BadZipFile: the file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("compressed")


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether every element is a real number with a place of its own in memory."""
    if tensor.layout != torch.strided or tensor.is_nested or tensor.device.type != "cpu":
        return False
    if tensor.is_quantized or tensor.is_complex():
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
