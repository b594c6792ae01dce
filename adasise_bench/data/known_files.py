"""Remembers what reading the files of a data set gave, so that the next start need not read them again.

What is remembered of a picture counts as long as its file and the file of its annotation have the same size,
times and inode. It only saves time: a picture's bytes are hashed again when it is read to be explained.

The memory is a file in the user's cache folder, beside the remembered engines, because several runs and
shards read the same pictures, and because inodes say nothing on another machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from adasise_bench import __version__
from adasise_bench.data.names import Names
from adasise_bench.utils.errors import OutputError
from adasise_bench.utils.files import regular, write_atomically

SETTLED = 2.0
"""Seconds for which a file must have stayed as it is before it is remembered. The clocks of file systems are
coarse: a file that is written twice in quick succession can have the same times both times."""

SAVED_EVERY = 60.0
"""Seconds after which a long start saves what it has read so far."""

_LAYOUT = 2
_UNSTABLE = 0
_HASH_BYTES = 32
_OBJECTS_KNOWN, _WITHOUT_OBJECTS, _CLASSES_KNOWN, _PICTURE_KNOWN, _ON_TRUST = (1 << bit for bit in range(5))
_OF_THE_PICTURE = _PICTURE_KNOWN | _ON_TRUST

UNUSABLE = 0
"""The number of the combination of classes of pictures whose annotation cannot be used."""


class KnownFiles:
    """What is known of the pictures of one data set, a row each.

    Args:
        place: what distinguishes the data set from others, such as its folders; ``None`` to remember nothing.
        names: the pictures.
        annotations: the file of each picture's annotation, in the same order.
        fresh: whether to forget what was remembered, and to read every file again.
        folder: where relative paths of annotations start.
    """

    def __init__(
        self,
        place: Sequence[object] | None,
        names: Names,
        annotations: Iterable[str],
        fresh: bool = False,
        folder: Path | None = None,
    ) -> None:
        self.names, self._place = names, place and [str(part) for part in place]
        self._annotation = _stamps(annotations, folder)
        self._picture: NDArray[np.int64] = np.zeros_like(self._annotation)
        self._state = np.zeros(len(names), np.uint8)
        self.digests = np.zeros((len(names), _HASH_BYTES), np.uint8)
        self.combination = np.zeros(len(names), np.int32)
        self.combinations: list[tuple[str, ...]] = [()]
        self._classes: tuple[str, ...] = ()
        self._changed = False
        self.looked_at_pictures = False
        self._rows: tuple[Names, NDArray[np.uint32]] | None = None
        if not fresh and place is not None:
            with suppress(OSError, ValueError, LookupError, TypeError, EOFError, AttributeError):
                self._recall()

    def rows_of(self, names: Names) -> NDArray[np.uint32]:
        """The rows of some of the pictures, in the order of ``names``."""
        if names is self.names:
            return np.arange(len(names), dtype=np.uint32)
        if self._rows is None or self._rows[0] is not names:
            rows = {name: row for row, name in enumerate(self.names)}
            self._rows = names, np.fromiter(map(rows.__getitem__, names), np.uint32, len(names))
        return self._rows[1]

    def of(self, names: Names, column: NDArray[Any]) -> NDArray[Any]:
        """The values of some of the pictures in one column, without a copy if these are all."""
        return column if names is self.names else column[self.rows_of(names)]

    def without_objects(self, read: Callable[[int], bool]) -> NDArray[np.bool_]:
        """Which pictures have no object, (rows,) bool; ``read`` finds it out for one row."""
        self._fill(_OBJECTS_KNOWN, self.rows_of(self.names), lambda row: _WITHOUT_OBJECTS * read(row))
        without: NDArray[np.bool_] = (self._state & _WITHOUT_OBJECTS) != 0
        return without

    def look_at_pictures(
        self, rows: NDArray[np.uint32], pictures: Iterable[str], folder: Path | None = None
    ) -> None:
        """Forget what is known of pictures whose files have changed.

        Args:
            rows: rows of pictures.
            pictures: their files.
            folder: where relative paths start.
        """
        now = _stamps(pictures, folder)
        changed = (self._picture[rows] != now) | (now == _UNSTABLE)
        self._state[rows[changed]] &= ~np.uint8(_OF_THE_PICTURE)
        self._picture[rows] = now
        self.looked_at_pictures = True

    def read_pictures(self, rows: NDArray[np.uint32], read: Callable[[int], tuple[bytes, bool]]) -> None:
        """Fill :attr:`digests`, and find out which pictures are turned on trust.

        An earlier array of digests stays as it is.

        Args:
            rows: rows of pictures.
            read: gives the 32 bytes of the digest of one row, and whether the picture is turned on trust.
        """
        self.digests = self.digests if self._all(_PICTURE_KNOWN, rows) else self.digests.copy()

        def note(row: int) -> int:
            digest, turned = read(row)
            self.digests[row] = np.frombuffer(digest, np.uint8)
            return _ON_TRUST * turned

        self._fill(_PICTURE_KNOWN, rows, note)

    def turned_on_trust(self, rows: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which of the pictures that :meth:`read_pictures` has read are turned on trust, (rows,) bool."""
        turned: NDArray[np.bool_] = (self._state[rows] & _ON_TRUST) != 0
        return turned

    def sort_by_classes(
        self,
        rows: NDArray[np.uint32],
        classes: tuple[str, ...],
        read: Callable[[int], tuple[str, ...]],
    ) -> None:
        """Fill :attr:`combination`.

        Args:
            rows: rows of pictures.
            classes: the class names that can occur; with others, annotations are read again.
            read: gives the classes of one row, empty if its annotation cannot be used.
        """
        if classes != self._classes:
            self._state &= ~np.uint8(_CLASSES_KNOWN)
            self._classes, self.combinations = classes, [()]
        numbers = {names: number for number, names in enumerate(self.combinations)}

        def note(row: int) -> int:
            names = read(row)
            if names not in numbers:
                numbers[names] = len(self.combinations)
                self.combinations.append(names)
            self.combination[row] = numbers[names]
            return 0

        self._fill(_CLASSES_KNOWN, rows, note)

    def save(self) -> None:
        """Write what was found out since the last time, if the cache folder can be written."""
        if not self._changed or self._place is None:
            return
        with suppress(OSError, OutputError):
            file = self._file()
            state = self._state.copy()
            state[self._annotation == _UNSTABLE] = 0
            # Perhaps it could not be read for a moment only.
            state[self.combination == UNUSABLE] &= ~np.uint8(_CLASSES_KNOWN)
            state[self._picture == _UNSTABLE] &= ~np.uint8(_OF_THE_PICTURE)
            facts = {"classes": self._classes, "combinations": self.combinations}
            stream = io.BytesIO()
            np.savez(
                stream, annotation=self._annotation, picture=self._picture, state=state, digests=self.digests,
                combination=self.combination, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8),
                names=np.frombuffer(self.names.text, np.uint8), ends=self.names.ends,
            )  # fmt: skip
            content = stream.getbuffer()
            checksum = hashlib.sha256(content).digest()
            write_atomically(file, lambda path: _write(path, checksum, content))
            self._changed = False

    def _all(self, known: int, rows: NDArray[np.uint32]) -> bool:
        return bool((self._state[rows] & known).all())

    def _fill(self, known: int, rows: NDArray[np.uint32], read: Callable[[int], int]) -> None:
        """Call ``read`` for each row that lacks the flag ``known``; it returns further flags of the row."""
        saved = time.monotonic()
        for row in map(int, rows[(self._state[rows] & known) == 0]):
            self._state[row] |= read(row) | known
            self._changed = True
            if time.monotonic() - saved > SAVED_EVERY:
                self.save()
                saved = time.monotonic()

    def _file(self) -> Path:
        """The file in the user's cache folder.

        Raises:
            FileNotFoundError: the user has no home folder.
        """
        try:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        except RuntimeError as error:
            raise FileNotFoundError(str(error)) from None
        versions = [_LAYOUT, __version__, PIL.__version__]
        name = hashlib.sha256(json.dumps([*(self._place or ()), *versions]).encode()).hexdigest()[:16]
        return base / "adasise-bench" / "pictures" / name

    def _recall(self) -> None:
        """Take what is remembered of files that are still the same.

        Raises:
            OSError, ValueError, LookupError, TypeError, EOFError: there is nothing, or it is damaged.
        """
        with regular(self._file()) as file:
            stated, content = file.read(_HASH_BYTES), file.read()
        if hashlib.sha256(content).digest() != stated:
            return
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            table = {name: stored[name] for name in stored.files}
        facts = json.loads(table.pop("facts").tobytes())
        old, new = _rows_in_both(Names.of(table["names"].tobytes(), table["ends"]), self.names)
        same = (table["annotation"][old] == self._annotation[new]) & (self._annotation[new] != _UNSTABLE)
        old, new = old[same], new[same]
        self._picture[new], self._state[new] = table["picture"][old], table["state"][old]
        self.digests[new], self.combination[new] = table["digests"][old], table["combination"][old]
        self._classes = tuple(facts["classes"])
        self.combinations = [tuple(names) for names in facts["combinations"]]


def _stamps(paths: Iterable[str], folder: Path | None = None) -> NDArray[np.int64]:
    """A number for the size, the times of change and the inode of each file.

    It is :data:`_UNSTABLE` if there is no file, or if the file was changed a moment ago.
    """
    start: int | None = None
    with suppress(OSError, ValueError):
        # Paths that start in an open folder are found in three quarters of the time.
        start = os.open(folder, os.O_RDONLY | os.O_DIRECTORY) if folder is not None else None
    try:
        return _stamps_from(paths, start)
    finally:
        if start is not None:
            os.close(start)


def _stamps_from(paths: Iterable[str], folder: int | None) -> NDArray[np.int64]:
    """:func:`_stamps` with the folder's descriptor. Every line of the loop counts where files are many."""
    settled = int((time.time() - SETTLED) * 1e9)
    stamps, last, look_at = array("q"), None, os.stat
    for path in paths:
        if path == last:  # one file can hold all annotations
            stamps.append(stamps[-1])
            continue
        last = path
        try:
            found = look_at(path, dir_fd=folder)
        except (OSError, ValueError):
            stamps.append(_UNSTABLE)
            continue
        written, changed = found.st_mtime_ns, found.st_ctime_ns
        if written < settled and changed < settled:
            stamps.append(hash((found.st_size, written, changed, found.st_ino)))
        else:
            stamps.append(_UNSTABLE)
    return np.frombuffer(stamps, np.int64) if stamps else np.zeros(0, np.int64)


def _write(path: Path, checksum: bytes, content: memoryview) -> None:
    with path.open("wb") as file:
        file.write(checksum)
        file.write(content)


def _rows_in_both(old: Names, new: Names) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the names that are in both, in one and in the other."""
    if old.same_as(new):
        rows = np.arange(len(new))
        return rows, rows
    places = {name: place for place, name in enumerate(new)}
    found = [(row, places[name]) for row, name in enumerate(old) if name in places]
    both = np.array(found, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
