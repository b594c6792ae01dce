"""What is no plain file is neither read nor replaced; pipes here have nobody at their other end."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from adasise_bench.utils import files
from adasise_bench.utils.errors import OutputError

pytestmark = pytest.mark.usefixtures("bounded")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.with_name("target").write_text("old")
    path.symlink_to("target")


def dangling_link(path: Path) -> None:
    path.symlink_to("nothing")


def device(path: Path) -> None:
    """The null device once more, where the system lets its user make it."""
    try:
        os.mknod(path, 0o020666, os.makedev(1, 3))
    except OSError:
        pytest.skip("this user makes no devices")


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        here = Path.cwd()
        os.chdir(path.parent)  # the names of sockets must be short
        try:
            opened.bind(path.name)
        finally:
            os.chdir(here)


def folder(path: Path) -> None:
    path.mkdir()


SPECIAL = {
    pipe: "a pipe",
    link: "a link",
    dangling_link: "a link",
    device: "a device",
    bound_socket: "a socket",
    folder: "a folder",
}


@pytest.mark.parametrize("make", SPECIAL)
def test_only_plain_files_are_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "out.json"
    make(path)
    before = path.lstat().st_ino, sorted(entry.name for entry in tmp_path.iterdir())
    for write in (lambda: files.write_text_atomically(path, "new"), lambda: files.open_to_append(path)):
        with pytest.raises(OutputError, match=f"out.json: is {SPECIAL[make]}"):
            write()
    assert (path.lstat().st_ino, sorted(entry.name for entry in tmp_path.iterdir())) == before
    if make is link:
        assert (tmp_path / "target").read_text() == "old"


def test_plain_files_are_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.json"
    for text in ("one", "two"):
        files.write_text_atomically(path, text)
        assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o666 & ~_mask()
    assert [entry.name for entry in path.parent.iterdir()] == ["out.json"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run"
    with files.folder_made_atomically(path) as unfinished:
        (unfinished / "records").write_text("all")
        assert not path.exists()
    assert (path / "records").read_text() == "all"
    assert [entry.name for entry in path.parent.iterdir()] == ["run"]


def test_nothing_is_left_of_a_folder_that_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with files.folder_made_atomically(tmp_path / "run") as unfinished:
            (unfinished / "records").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_stays(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("old")
    with pytest.raises(OSError, match="not empty"), files.folder_made_atomically(tmp_path / "run"):
        pass
    assert [entry.name for entry in tmp_path.rglob("*")] == ["run", "mine"]


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_link_planted_for_the_temporary_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("old")
    (tmp_path / f".out.json.{os.getpid()}{files.TEMPORARY}").symlink_to("precious")
    files.write_text_atomically(tmp_path / "out.json", "new")
    assert (tmp_path / "out.json").read_text() == "new"
    assert (tmp_path / "precious").read_text() == "old"


@pytest.mark.parametrize("make", [pipe, device, bound_socket])
def test_only_plain_files_are_read(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "in.json")
    with pytest.raises(OSError, match="not a plain file"):
        files.regular(tmp_path / "in.json")
    (tmp_path / "link.json").symlink_to("in.json")
    with pytest.raises(OSError, match="not a plain file"):
        files.regular(tmp_path / "link.json")


def test_links_lead_to_files_of_the_folder_only(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside").write_text("secret")
    (inside / "here").write_text("known")
    (inside / "good").symlink_to("here")
    (inside / "bad").symlink_to("../outside")
    (inside / "chain").symlink_to("bad")
    (inside / "up").symlink_to("..")
    (inside / "circle").symlink_to("circle")
    assert files.read_text(inside / "good", within=inside) == "known"
    assert files.read_text(inside / "bad") == "secret"
    for name in ("bad", "chain", "up/outside"):
        with pytest.raises(OSError, match="leads out of the folder"):
            files.read_text(inside / name, within=inside)
    with pytest.raises(OSError, match="no such file"):
        files.read_text(inside / "circle", within=inside)


def test_texts_and_lines_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    path.write_bytes("é\n".encode() * 512 + b"torn")
    assert files.read_text(path, most=1540).endswith("é\ntorn")
    with pytest.raises(ValueError, match="more than 1 KiB"):
        files.read_text(path, most=1539)
    with files.regular(path) as file:
        assert list(files.whole_lines(file)) == ["é\n".encode()] * 512
    monkeypatch.setattr(files, "LONGEST_LINE", 2)
    with files.regular(path) as file, pytest.raises(ValueError, match="a line of more"):
        list(files.whole_lines(file))


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EDQUOT, "free space"),
        (errno.ENAMETOOLONG, "shorten the names"),
        (errno.EACCES, "choose another --output"),
        (errno.ENOENT, "choose another --output"),
    ],
)
def test_the_cure_is_that_of_what_is_wrong(tmp_path: Path, number: int, cure: str) -> None:
    with pytest.raises(OutputError, match=cure) as caught, files.as_output_error(tmp_path):
        raise OSError(number, os.strerror(number))
    assert ("space" in str(caught.value)) == (cure == "free space" or "space" in os.strerror(number))
