"""Checkpoints that are code, bombs, junk, or hold what no network's state is."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import accepted, command, fifo, flipped, refused
from safetensors.torch import save

from adasise_bench.models import checkpoint, scenes_vgg, torchray_networks
from adasise_bench.models.checkpoint import read_state
from adasise_bench.utils.errors import WeightsError

pytestmark = pytest.mark.usefixtures("bounded")


def saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


SMALL = {"conv.weight": torch.arange(12.0).view(3, 4), "conv.bias": torch.zeros(3)}
ZIPPED = saved(SMALL)
LEGACY = saved(SMALL, _use_new_zipfile_serialization=False)
TENSORS = save(SMALL)


class Call:
    """Pickles to a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


class Build:
    """Pickles to an object whose state is set by a call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (OrderedDict, (), Call(os.system, "touch executed"))


CALLS: dict[str, Any] = {
    "system": Call(os.system, "touch executed"),
    "exec": Call(exec, "open('executed', 'w')"),
    "eval": Call(eval, "open('executed', 'w')"),
    "open": Call(open, "executed", "w"),
    "import": Call(__import__, "antigravity"),
    "touch": Call(Path.touch, Path("executed")),
    "rmtree": Call(__import__("shutil").rmtree, "executed"),
    "getattr": Call(getattr, Path("executed"), "touch"),
    "load": Call(torch.load, "executed"),
    "hub": Call(torch.hub.load, "executed"),
    "state": Build(),
    "module": torch.nn.Linear(2, 2),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", CALLS)
def test_calls_are_not_made(tmp_path: Path, kind: str, legacy: bool) -> None:
    path = tmp_path / "hostile.pth.tar"
    for content in (CALLS[kind], {"conv.weight": CALLS[kind]}, [SMALL, CALLS[kind]]):
        path.write_bytes(saved(content, _use_new_zipfile_serialization=not legacy))
        refused(lambda: read_state(path), f"{path}: ", kind=WeightsError)


RAW = {
    "reduce": b"cos\nsystem\n(S'touch executed'\ntR.",
    "inst": b"(S'touch executed'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'touch executed'\no.",
    "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0etouch executed\x85R.",
    "dotted": b"\x80\x04\x8c\x05torch\x8c\x0fserialization.os.system\x93\x8c\x0etouch executed\x85R.",
    "builtins": b'cbuiltins\nexec\n(S\'open("executed","w")\'\ntR.',
    "persistent": b"Ptouch executed\n.",
    "extension": b"\x80\x02\x82\x01.",
    "empty stack": b"\x80\x02.",
    "no stop": b"\x80\x02}q\x00",
    "unknown opcode": b"\x80\x02\xff.",
    "protocol 200": b"\x80\xc8}.",
    "memo bomb": b"\x80\x02]" + b"2" * 50_000 + b".",
    "deep": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "length lies": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "negative length": b"\x80\x02T\xff\xff\xff\xffabc.",
    "number of 9000 digits": b"I" + b"9" * 9000 + b"\n.",
    "long number": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "frame lies": b"\x80\x04\x95" + b"\xff" * 8 + b"}.",
}


def rezipped(data: bytes, member: str = "archive/data.pkl", **others: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, data)
        for name, content in {"archive/version": b"3\n", **others}.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "zip"])
@pytest.mark.parametrize("kind", RAW)
def test_raw_pickles(tmp_path: Path, kind: str, wrapped: bool) -> None:
    path = tmp_path / "hostile.pth"
    path.write_bytes(rezipped(RAW[kind]) if wrapped else RAW[kind])
    refused(lambda: read_state(path), f"{path}: ", kind=WeightsError)


def _zip_bomb(size: int = 300_000_000) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(size))
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def _lying_zip() -> bytes:
    """A central directory that says every member has 2 GB."""
    at = ZIPPED.index(b"PK\x01\x02")
    return ZIPPED[: at + 20] + struct.pack("<II", 2**31 - 2, 2**31 - 2) + ZIPPED[at + 28 :]


def _tar(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in ("storages", "tensors", "pickle", name):
            info = tarfile.TarInfo(member)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"evil"))
    return buffer.getvalue()


FILES = {
    "nothing": b"",
    "zeros": bytes(5000),
    "text": b"hello",
    "HTML": b"<html>404</html>",
    "gzip": b"\x1f\x8b" + bytes(90),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(90),
    "zip bomb": _zip_bomb(),
    "zip that lies": _lying_zip(),
    "zip without data": rezipped(b"x", "archive/other"),
    "zip of nothing": b"PK\x05\x06" + bytes(18),
    "zip that climbs": rezipped(pickle.dumps({}), "../../executed"),
    "nested zip": rezipped(ZIPPED),
    "zip with an encrypted member": ZIPPED.replace(
        b"PK\x01\x02\x00\x00\x00\x00", b"PK\x01\x02\x00\x00\x00\x00\x01"
    ),
    "tar": _tar("x"),
    "tar that climbs": _tar("../executed"),
    "tar with an absolute name": _tar("/tmp/executed"),
    "TorchScript": None,
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_checkpoint(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "hostile.pth.tar"
    content = FILES[kind]
    if content is None:
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(path))
    else:
        path.write_bytes(content)
    refused(lambda: read_state(path), f"{path}: ", kind=WeightsError)


CONTENTS: dict[str, Callable[[], Any]] = {
    "nothing": dict,
    "none": lambda: None,
    "a number": lambda: 3,
    "a text": lambda: "conv",
    "a list": lambda: [SMALL],
    "a tensor": lambda: torch.zeros(3),
    "state within": lambda: {"state_dict": SMALL, "epoch": 3},
    "number as name": lambda: {1: torch.zeros(3)},
    "tuple as name": lambda: {("a",): torch.zeros(3)},
    "number as tensor": lambda: SMALL | {"epoch": 3},
    "list as tensor": lambda: SMALL | {"x": [1.0]},
    "NaN": lambda: SMALL | {"x": torch.tensor([1.0, float("nan")])},
    "infinite": lambda: SMALL | {"x": torch.tensor([float("inf")])},
    "NaN in half precision": lambda: SMALL | {"x": torch.tensor([float("nan")]).half()},
    "one number seen 10^12 times": lambda: {"x": torch.zeros(1).expand(10**6, 10**6)},
    "overlapping": lambda: {"x": torch.zeros(10**6).as_strided((10**6, 10**6), (0, 1))},
    "without memory": lambda: {"x": torch.zeros(10**6, 10**6, device="meta")},
    "sparse": lambda: {"x": torch.eye(3).to_sparse()},
    "sparse rows": lambda: {"x": torch.eye(3).to_sparse_csr()},
    "complex": lambda: {"x": torch.zeros(3, dtype=torch.complex64)},
    "quantized": lambda: {"x": torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8)},
    "nested": lambda: {"x": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])},
    "long name": lambda: {"x" * 100_000: 3},
    "name of lines": lambda: {"a\n\x1b[31mb": torch.tensor([float("nan")])},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", CONTENTS)
def test_what_is_no_state(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "hostile.pth"
    path.write_bytes(saved(CONTENTS[kind]()))
    refused(lambda: read_state(path), f"{path}: ", kind=WeightsError)


def header(entries: object, data: bytes = bytes(16)) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(**changes: Any) -> dict[str, Any]:
    return {"x": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes}


SAFETENSORS = {
    "nothing": b"",
    "short": b"\x01\x02",
    "header beyond the file": struct.pack("<Q", 10**6) + b"{}",
    "endless header": struct.pack("<Q", 2**63) + b"{}",
    "largest header": b"\xff" * 8 + b"{}",
    "no JSON": header(b"hello"),
    "no UTF-8": header(b"\xff\xfe"),
    "a list": header([]),
    "a number": header(3),
    "deep JSON": header(b"[" * 100_000),
    "unknown dtype": header(tensor(dtype="F3")),
    "dtype of another type": header(tensor(dtype=3)),
    "no dtype": header({"x": {"shape": [4]}}),
    "shape too large": header(tensor(shape=[2, 3])),
    "shape too small": header(tensor(shape=[2])),
    "negative shape": header(tensor(shape=[-2, -2])),
    "shape beyond 64 bits": header(tensor(shape=[2**63, 2**63])),
    "shape in words": header(tensor(shape="2")),
    "offsets beyond the file": header(tensor(data_offsets=[0, 10**9])),
    "offsets swapped": header(tensor(data_offsets=[16, 0])),
    "offset negative": header(tensor(data_offsets=[-16, 0])),
    "a gap": header(tensor(data_offsets=[16, 32]), bytes(32)),
    "junk behind": header(tensor(), bytes(99)),
    "two in one place": header(tensor() | {"y": tensor()["x"]}),
    "truncated": TENSORS[:-1],
    "empty": header({}, b""),
    "name twice": header(b'{"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"x":{"dtype":"F32"}}'),
    "metadata of numbers": header({"__metadata__": {"a": 1}} | tensor()),
    "NaN": save({"x": torch.tensor([float("nan")])}),
    "pickle": LEGACY,
    "zip": ZIPPED,
}


@pytest.mark.parametrize("kind", SAFETENSORS)
def test_lying_safetensors(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(SAFETENSORS[kind])
    refused(lambda: read_state(path), f"{path}: ", kind=WeightsError)


FORMATS = {"zip": ("w.pth", ZIPPED), "legacy": ("w.pth", LEGACY), "safetensors": ("w.safetensors", TENSORS)}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("share", range(0, 100, 10))
def test_truncated(tmp_path: Path, fmt: str, share: int) -> None:
    name, content = FORMATS[fmt]
    path = tmp_path / name
    path.write_bytes(content[: len(content) * share // 100])
    refused(lambda: read_state(path), f"{path}: ", kind=WeightsError)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 10**6), st.integers(1, 6))
def test_flipped_bits(tmp_path: Path, fmt: str, seed: int, bits: int) -> None:
    name, content = FORMATS[fmt]
    path = tmp_path / name
    path.write_bytes(flipped(content, seed, bits))
    state = accepted(lambda: read_state(path), f"{path}: ")
    assert state is None or all(torch.isfinite(value).all() for value in state.values())


def test_sound_ones_are_read(tmp_path: Path) -> None:
    for name, content in FORMATS.values():
        (tmp_path / name).write_bytes(content)
        state = read_state(tmp_path / name)
        assert {key: value.tolist() for key, value in state.items()} == {
            k: v.tolist() for k, v in SMALL.items()
        }
    parameters = {"a": torch.nn.Parameter(torch.ones(2)), "b": torch.ones(4)[::2], "c": torch.tensor(3)}
    (tmp_path / "w.pth").write_bytes(saved(parameters))
    assert list(read_state(tmp_path / "w.pth")) == ["a", "b", "c"]


UNFIT: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "missing": lambda state: dict(list(state.items())[1:]),
    "surplus": lambda state: state | {"x": torch.zeros(1)},
    "other shape": lambda state: state | {"classifier.bias": torch.zeros(7)},
    "no dimensions": lambda state: state | {"classifier.bias": torch.tensor(0.0)},
    "more dimensions": lambda state: state | {"classifier.bias": torch.zeros(6, 1, 1)},
    "empty": lambda state: state | {"classifier.bias": torch.zeros(0)},
    "renamed": lambda state: {f"{name}.module_": value for name, value in state.items()},
    "other network": lambda _: dict(SMALL),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_what_does_not_fit(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "hostile.pth"
    path.write_bytes(saved(UNFIT[kind](scenes_vgg.ScenesVGG().state_dict())))
    refused(lambda: scenes_vgg.load(path), f"{path}: does not fit scenes_vgg", kind=WeightsError)


@pytest.mark.parametrize(
    "first", [torch.tensor(1.0), torch.zeros(64), torch.zeros(64, 2, 7, 7), torch.zeros(0)]
)
def test_what_torchray_trips_over(tmp_path: Path, first: torch.Tensor) -> None:
    path = tmp_path / "hostile.pth"
    path.write_bytes(saved({"conv1.weight": first}))
    refused(
        lambda: torchray_networks.load("resnet50", "voc", path, None, False),
        f"{path}: does not fit",
        kind=WeightsError,
    )


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (
        tmp_path,
        tmp_path / "no",
        tmp_path / "a\0b",
        tmp_path / ("n" * 300),
        Path("/dev/zero"),
        fifo(tmp_path / "pipe.pth"),
    ):
        refused(lambda path=path: checkpoint.verify(path, None), "cannot read", kind=WeightsError)  # type: ignore[misc]


def test_a_download_that_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise IncompleteRead(b"x" * 5000, 9)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    refused(
        lambda: checkpoint.fetch("https://localhost/x-9ca920d6.pth.tar"), "download failed", kind=WeightsError
    )


@pytest.mark.parametrize("kind", ["system", "state"])
def test_from_the_command_line(tmp_path: Path, kind: str) -> None:
    path, picture = tmp_path / "hostile.pth", Path(__file__).with_name("no.jpg")
    path.write_bytes(saved({"x": CALLS[kind]}))
    config = tmp_path / "run.yaml"
    config.write_text(
        f"data: {{root: embedded}}\nmodels: {{scenes_vgg: {{checkpoint: {path}}}}}\nmethods: [sise]\n"
    )
    assert command("run", "--config", config, "--output", tmp_path / "run").exit_code == 3
    assert not (tmp_path / "run").exists()
    assert command("explain", picture, "--model", "scenes_vgg", "--checkpoint", path).exit_code == 3
