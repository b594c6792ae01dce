"""What reading files gave is remembered for files that are the same, and for no others."""

from __future__ import annotations

import os
import pickle
import tracemalloc
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from adasise_bench.data import known_files
from adasise_bench.data.dataset import ClassNames, Dataset, Digests
from adasise_bench.data.names import ByName, Names
from adasise_bench.data.voc import VocDataset, open_voc
from adasise_bench.records.planned_keys import PlannedKeys
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.files import regular

Opened = Callable[..., VocDataset]


@pytest.fixture
def opened(voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Opens the three pictures; files count as settled at once, and the cache is this test's own."""
    monkeypatch.setattr(known_files, "SETTLED", -3600.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda **options: open_voc(voc_root, "2007", "test", **options)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pictures that are hashed, in their order."""
    names: list[str] = []
    read = Dataset._read_picture

    def noted(self: Dataset, image_id: str) -> tuple[bytes, bool]:
        names.append(image_id)
        return read(self, image_id)

    monkeypatch.setattr(Dataset, "_read_picture", noted)
    return names


def everything(dataset: VocDataset) -> tuple[dict[str, str], dict[str, object], int]:
    names = dataset.image_ids
    return dict(dataset.digests()), dict(dataset.class_names(names)), dataset.how_many_on_trust(names)


def stored(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "cache/adasise-bench/pictures").iterdir()
    return file


def test_a_second_start_reads_no_file_and_finds_the_same(
    opened: Opened, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = everything(opened())
    assert len(hashed) == 3
    hashed.clear()
    monkeypatch.setattr("adasise_bench.data.voc._without_objects", lambda _path: pytest.fail("read"))
    monkeypatch.setattr("adasise_bench.data.voc.read_annotation", lambda *_: pytest.fail("read"))
    monkeypatch.setattr("adasise_bench.data.dataset.read_bytes", lambda _path: pytest.fail("read"))
    assert everything(opened()) == first
    assert hashed == []


def test_verify_reads_everything_again(opened: Opened, hashed: list[str]) -> None:
    first = everything(opened())
    hashed.clear()
    assert everything(opened(verify=True)) == first
    assert len(hashed) == 3


@pytest.mark.parametrize("kept", ["times", "nothing"])
def test_another_picture_of_the_same_size_is_hashed_again(
    opened: Opened, hashed: list[str], kept: str
) -> None:
    dataset = opened()
    before = dataset.digests()
    path = dataset.images["000002"]
    found, content = path.stat(), path.read_bytes()
    hashed.clear()
    other = path.with_name("other")
    other.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    if kept == "times":  # then the inode is another one
        os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_size == found.st_size
    after = opened().digests()
    assert hashed == ["000002"]
    assert {name for name in before if before[name] != after[name]} == {"000002"}


def test_an_annotation_that_was_changed_is_read_again(opened: Opened) -> None:
    before, classes, _ = everything(opened())
    path = opened().annotations["000001"]
    path.write_text(path.read_text().replace("person", "cat"))
    after, other, _ = everything(opened())
    assert (classes["000001"], other["000001"]) == (("dog", "person"), ("cat", "dog"))
    assert {name for name in before if before[name] != after[name]} == {"000001"}


def test_a_picture_that_is_turned_now_is_counted_before_any_is_hashed(opened: Opened) -> None:
    dataset = opened()
    assert everything(dataset)[2] == 0
    path = dataset.images["000002"]
    with Image.open(path) as picture:
        exif = picture.getexif()
        exif[ExifTags.Base.Orientation] = 3  # on its head, which leaves width and height as they are
        picture.save(path, exif=exif)
    assert opened().how_many_on_trust(dataset.image_ids) == 1


def test_an_annotation_that_could_not_be_read_is_read_again(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, _classes: object) -> None:
        raise DataError(f"{path}: Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("adasise_bench.data.voc.read_annotation", broken)
        assert everything(opened())[1]["000001"] == [None]
    assert everything(opened())[1]["000001"] == ("dog", "person")


def test_a_picture_that_changed_a_moment_ago_is_not_remembered(
    opened: Opened, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_files, "SETTLED", 3600.0)
    everything(opened())
    everything(opened())
    assert len(hashed) == 6


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_memory_is_not_believed(
    opened: Opened, hashed: list[str], tmp_path: Path, damage: str
) -> None:
    first = everything(opened())
    file = stored(tmp_path)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(
        {"cut": bytes(content[:-9]), "flipped": bytes(content), "empty": b"", "text": b"x" * 99}[damage]
    )
    hashed.clear()
    assert everything(opened()) == first
    assert len(hashed) == 3


def test_a_first_start_reads_each_picture_once(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    opens: list[str] = []

    def noted(path: Path, **options: Path) -> BufferedReader:
        opens.append(path.name)
        return regular(path, **options)

    for module in ("pictures", "dataset", "voc"):
        monkeypatch.setattr(f"adasise_bench.data.{module}.regular", noted)
    everything(opened())
    assert sorted(name for name in opens if name.endswith(".jpg")) == [
        "000001.jpg",
        "000002.jpg",
        "000003.jpg",
    ]


@pytest.mark.parametrize("kind", ["images", "annotations"])
def test_a_file_that_was_removed_or_came_back_is_noticed(
    opened: Opened, hashed: list[str], kind: str
) -> None:
    before, classes, _ = everything(opened())
    path: Path = getattr(opened(), kind)["000002"]
    content = path.read_bytes()
    path.unlink()
    hashed.clear()
    gone, without, _ = everything(opened())
    assert hashed == ["000002"]
    assert {name for name in before if before[name] != gone[name]} == {"000002"}
    assert (without["000002"] == [None]) == (kind == "annotations")
    path.write_bytes(content)
    assert everything(opened())[:2] == (before, classes)


def test_a_worker_does_not_look_at_all_annotations(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_stamps", "_stamps_from"):
        monkeypatch.setattr(known_files, name, lambda *_: pytest.fail("looked at"))
    dataset = opened(look_for_empty=False)
    assert list(dataset.images) == ["000001", "000002", "000003"]
    assert dataset.annotation("000001").class_names == ["dog", "person"]


def test_a_list_that_has_grown_keeps_what_is_known(opened: Opened, hashed: list[str], voc_root: Path) -> None:
    listing = voc_root / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    listing.write_text("000003\n")
    known = everything(opened())[0]
    hashed.clear()
    listing.write_text("000001\n000002\n000003\n")
    assert everything(opened())[0]["000003"] == known["000003"]
    assert hashed == ["000001", "000002"]


def test_a_wrong_memory_is_found_when_the_picture_is_read(opened: Opened, voc_root: Path) -> None:
    dataset = opened()
    digest = dataset.digests()["000002"]
    path = dataset.images["000002"]
    found, content = path.stat(), path.read_bytes()
    with path.open("r+b") as file:  # same inode, size and times: a file system may even keep the ctime
        file.write(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    with pytest.raises(DataError, match="--verify"):
        dataset.picture("000002", dataset.annotation("000002"), digest)


def test_names_are_those_of_a_dictionary() -> None:
    texts = [f"n{number * 7919 % 5000:05}" for number in range(6000)] + ["", "ü", "ü"]
    names, places = Names(texts), {text: place for place, text in enumerate(dict.fromkeys(texts))}
    assert list(names) == list(places)
    assert {text: names.find(text) for text in places} == places
    assert names.find("other") is None
    assert "other" not in names
    squares = ByName(names, lambda text, place: (text, place * place))
    assert squares["n00007"] == ("n00007", places["n00007"] ** 2)
    with pytest.raises(KeyError, match="other"):
        squares["other"]


@pytest.mark.parametrize("letter", ["a", "ü", "\udc80"])
def test_names_of_many_blocks_come_in_their_order(monkeypatch: pytest.MonkeyPatch, letter: str) -> None:
    monkeypatch.setattr("adasise_bench.data.names.AT_ONCE", 3)
    texts = ["", *(letter * number + str(number) for number in range(1, 8)), "end"]
    names = Names(texts)
    assert list(names) == texts == [names[place] for place in range(len(names))]
    sent = pickle.loads(pickle.dumps(names))
    assert list(sent) == texts
    assert sent.find(texts[4]) == 4
    assert sent.same_as(names)
    assert not Names(texts[:-1]).same_as(names)
    assert not Names(["ab", "c"]).same_as(Names(["a", "bc"]))


def test_what_is_gone_through_in_order_is_what_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adasise_bench.data.dataset.AT_ONCE", 3)
    names = Names(map(str, range(8)))
    digests = Digests(names, np.arange(8 * 4, dtype=np.uint8).reshape(8, 4))
    assert list(digests.items()) == [(name, digests[name]) for name in names]
    assert digests["1"] == "04050607"
    classes = ClassNames(names, np.array([0, 1, 2, 1, 0, 2, 2, 1], np.int32), [(), ("dog",), ("cat", "dog")])
    assert classes.counts().tolist() == [len(classes[name]) for name in names]
    assert (classes["0"], classes["2"]) == ([None], ("cat", "dog"))


def test_texts_with_the_same_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adasise_bench.data.names.hash", lambda _text: 7, raising=False)
    names = Names(["a", "b", "c"])
    assert [names.find(text) for text in "abcd"] == [0, 1, 2, None]


def test_what_is_known_takes_at_most_100_bytes_a_picture() -> None:
    """All that a plan holds for each picture of the size of ImageNet's names."""
    count = 20_000
    texts = [f"ILSVRC2012_val_{number:08}" for number in range(count)]
    tracemalloc.start()
    names = Names(texts)
    known = known_files.KnownFiles(None, names, (str(number) for number in range(count)))
    rows = known.rows_of(names)
    known.sort_by_classes(rows, ("dog",), lambda _row: ("dog",))
    known.read_pictures(rows, lambda _row: (bytes(32), False))
    del rows
    numbers = known.combination
    planned = PlannedKeys(
        ["vgg16"], ["sise"], names, lambda name: known.combinations[numbers[names.index(name)]]
    )
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(planned) == count
    assert taken / count <= 100
