"""Finds, fetches and reads checkpoints without ever executing what they hold."""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file

from adasise_bench.data.files import regular
from adasise_bench.errors import WeightsError

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")


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


def fetch(url: str) -> Path:
    """Download a checkpoint into torch's cache unless it is there; the caller checks its hash.

    Raises:
        WeightsError: the download failed.
    """
    target = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        match = _HASH_IN_NAME.search(target.name)
        torch.hub.download_url_to_file(url, str(target), hash_prefix=match.group(1) if match else None)
    except (URLError, HTTPException, OSError, RuntimeError) as error:
        raise WeightsError(
            f"{url}: download failed ({error}); fetch it by hand and set models.<arch>.checkpoint"
        ) from None
    return target


def verify(path: Path, prefix: str | None) -> str:
    """SHA-256 of a checkpoint, checked against ``prefix``, if any.

    Raises:
        WeightsError: unreadable, or another hash.
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
    """Read a checkpoint (torch or safetensors) as a mapping of names to tensors, refusing everything else.

    Raises:
        WeightsError: not a checkpoint of tensors, or a tensor that is not finite.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            _refuse_bomb(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # about pickle protocols
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch's readers raise whatever a damaged file makes them trip over
        raise WeightsError(
            f"{path}: no checkpoint that can be read safely: neither safetensors nor tensors saved by torch"
        ) from None
    if not isinstance(state, dict) or not state:
        raise WeightsError(f"{path}: not a mapping of parameter names to tensors")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise WeightsError(f"{path}: entry {str(name)[:80]!r} is not a tensor")
        if not _is_plain(value):
            raise WeightsError(f"{path}: {name!r} is not a plain tensor of numbers in memory")
        if not torch.isfinite(value).all():
            raise WeightsError(f"{path}: weights of {name!r} are not finite")
    return state


def _refuse_bomb(path: Path) -> None:
    """Refuse a zip archive that holds more than its own bytes; torch's are not compressed.

    Raises:
        ValueError: it is such an archive.
        OSError, BadZipFile: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("compressed")


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether every element is a real number with its own place in memory."""
    if tensor.layout != torch.strided or tensor.is_nested or tensor.device.type != "cpu":
        return False
    if tensor.is_quantized or tensor.is_complex():
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
