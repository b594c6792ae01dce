"""VOC's archive, as torchvision fetches and unpacks it: verified first, and never unpacked outside."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import URLError

import pytest
from refusals import refused
from torchvision.datasets import utils, voc

from adasise_bench.data.voc import open_voc
from adasise_bench.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("bounded")

ARCHIVE = "VOCtest_06-Nov-2007.tar"
LIST = "VOCdevkit/VOC2007/ImageSets/Main/test.txt"


def member(name: str, content: bytes = b"evil", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, content in (*members, member(LIST, b"000001\n")):
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return buffer.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, b"", type=kind, linkname=target)


ESCAPES: dict[str, Callable[[Path], bytes]] = {
    "up": lambda _: archive(member("../escaped")),
    "up from below": lambda _: archive(member("VOCdevkit/../../escaped")),
    "through a link": lambda outside: archive(link("door", str(outside)), member("door/escaped")),
    "through a relative link": lambda _: archive(link("door", ".."), member("door/escaped")),
    "link to a file": lambda outside: archive(link("VOCdevkit/door", f"{outside}/secret")),
    "hard link": lambda _: archive(link("door", "../secret", tarfile.LNKTYPE)),
    "link as the list": lambda outside: archive(link(f"{LIST}.txt", f"{outside}/secret")),
    "device": lambda _: archive(member("zero", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
    "pipe": lambda _: archive(member("pipe", b"", type=tarfile.FIFOTYPE)),
    "torn": lambda _: archive(member("a", bytes(20_000)))[:11_000],
    "no archive": lambda _: b"hello",
    "nothing": lambda _: b"",
    "zeros": lambda _: bytes(10_240),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("000001\n")
    folder = tmp_path / "outside" / "root"
    folder.mkdir()
    return folder


def vouch_for(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an archive have the MD5 that torchvision expects, which a forger of MD5s might reach."""
    entry = voc.DATASET_YEAR_DICT["2007-test"] | {"md5": hashlib.md5(content).hexdigest()}
    monkeypatch.setitem(voc.DATASET_YEAR_DICT, "2007-test", entry)


@pytest.mark.parametrize("kind", ESCAPES)
def test_even_an_archive_with_the_right_md5_stays_inside(
    root: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = root.parent
    content = ESCAPES[kind](outside)
    vouch_for(content, monkeypatch)
    (root / ARCHIVE).write_bytes(content)
    refused(lambda: open_voc(root, "2007", "test", download=True), f"{root}: ", kind=DataError)
    assert {path.name for path in outside.iterdir()} == {"root", "secret"}
    assert (outside / "secret").read_text() == "000001\n"
    assert not any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in root.rglob("*"))


def test_odd_modes_and_absolute_names_are_made_plain(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = member("VOCdevkit/VOC2007/JPEGImages/000001.jpg", b"x", mode=0o7777, uid=0)
    content = archive(picture, member(f"{root.parent}/escaped"))
    vouch_for(content, monkeypatch)
    (root / ARCHIVE).write_bytes(content)
    assert list(open_voc(root, "2007", "test", download=True).images) == ["000001"]
    assert (root / "VOCdevkit/VOC2007/JPEGImages/000001.jpg").stat().st_mode & 0o7022 == 0
    assert {path.name for path in root.parent.iterdir()} == {"root", "secret"}
    assert not hasattr(tarfile.TarFile, "extraction_filter") or tarfile.TarFile.extraction_filter is None


@pytest.mark.parametrize("kind", ["up", "through a link", "no archive"])
def test_an_archive_with_another_md5_is_not_unpacked(
    root: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = ESCAPES[kind](root.parent)
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(utils, "_urlretrieve", lambda _url, path, **_: Path(path).write_bytes(content))
    refused(lambda: open_voc(root, "2007", "test", download=True), "corrupted", kind=DataError)
    assert [path.name for path in root.iterdir()] == [ARCHIVE]
    assert {path.name for path in root.parent.iterdir()} == {"root", "secret"}


@pytest.mark.parametrize(
    "error",
    [
        IncompleteRead(b"x" * 5000, 9),
        URLError("no\nroute"),
        TimeoutError("timed out"),
        ConnectionResetError(104, "x"),
        EOFError(),
        RuntimeError("a\nb"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_downloads_that_fail(root: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(utils, "_get_redirect_url", fail)
    refused(lambda: open_voc(root, "2007", "test", download=True), f"{root}: ", kind=DataError)
