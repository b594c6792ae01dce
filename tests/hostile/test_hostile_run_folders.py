"""Run folders and caches damaged in every way, as ``table``, the gallery and resuming find them."""

from __future__ import annotations

import copy
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from refusals import accepted, command, fifo, flipped, refused

from adasise_bench.cli.table import tables_text
from adasise_bench.data.voc import VocDataset
from adasise_bench.models import engine_cache
from adasise_bench.models.engine import Engine
from adasise_bench.records import folder as run_folder
from adasise_bench.records import maps, row_groups
from adasise_bench.records.environment import DECISIVE
from adasise_bench.records.folder_names import FINISHED, IN_FLIGHT
from adasise_bench.records.pictures import Gallery
from adasise_bench.records.planned_keys import PlannedKeys
from adasise_bench.records.record import SCHEMA, Key, Record
from adasise_bench.records.store import RecordStore
from adasise_bench.run.config_file import validate
from adasise_bench.run.status import read_status
from adasise_bench.utils import files
from adasise_bench.utils.errors import BenchError, DataError, OutputError
from adasise_bench.utils.files import write_text_atomically

pytestmark = pytest.mark.usefixtures("bounded")

CONFIG = validate({"models": {"resnet50": {}}, "methods": ["sise", "ada_sise"], "device": "cpu"}, "test")
PICTURES = {"000001": "ab" * 32, "000002": "cd" * 32}
FACTS: dict[str, Any] = {
    "tool": {"version": "0.1.0", "commit": None},
    "torch": "2.8.0",
    "torchvision": "0.23.0",
    "torchray": "1.0.0.2",
    "device": "cpu",
    "device_name": "Some CPU",
    "precision": "fp32",
    "definitions": {"ebpg": "ebpg-box-union-v1"},
    "methods": {"sise": {}, "ada_sise": {}},
    "models": {
        "resnet50": {
            "weights_sha256": "9ca920d6" * 8,
            "weights_file": "w.pth.tar",
            "published": True,
            "maps_available": [64, 256, 512, 1024, 2048],
            "engine": {"layout": "contiguous", "batch_size": 8, "compile": False},
        }
    },
    "data": {
        "name": "VOC 2007 test",
        "images": 2,
        "pairs": 2,
        "embedded": False,
        "full_images": 4952,
        "full_pairs": 7632,
    },
    "identity": CONFIG.identity(),
}


def record(method: str, image: str, **changes: Any) -> Record:
    values = {
        "ebpg": 50.0,
        "score": 0.5,
        "box_share": 20.0,
        "seconds": 1.5,
        "forwards": 9,
        "maps_kept": [1, 2, 3, 4, 5],
        "maps_positive": [6, 7, 8, 9, 9],
        "degenerate": False,
    }
    return Record("resnet50", method, image, "dog", **(values | changes))


RECORDS = [record(method, image) for method in ("sise", "ada_sise") for image in PICTURES]
PLANNED = PlannedKeys(["resnet50"], ["sise", "ada_sise"], PICTURES, lambda _image_id: ["dog"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run."""
    path = tmp_path / "run"
    path.mkdir()
    run_folder.claim(path, CONFIG.model_dump(mode="json"), FACTS, PICTURES)
    store = RecordStore(path, PLANNED)
    store.append(RECORDS)
    store.finish()
    store.close()
    return path


def table(folder: Path) -> str:
    return tables_text(folder)


def resume(folder: Path) -> RecordStore:
    """What a run does with its folder before it explains anything, and at its end."""
    run_folder.refuse_foreign(folder)
    with run_folder.exclusive(folder):
        engines = run_folder.engines(folder)
        assert all(1 <= engine.batch_size <= 4096 for engine in engines.values())
        run_folder.claim(folder, CONFIG.model_dump(mode="json"), FACTS, PICTURES)
        store = RecordStore(folder, PLANNED)
        store.finish()
        store.close()
    return store


def sound(text: str | None) -> None:
    """Whatever a damaged folder makes the table show, it is text."""
    assert text is None or all(letter.isprintable() or letter == "\n" for letter in text)


def test_the_sound_folder_is_read_and_resumed(folder: Path) -> None:
    assert "50.00" in table(folder)
    assert resume(folder).explained.sum() == 4


FILES = ["config.yaml", "environment.json", FINISHED, IN_FLIGHT, "pictures.sha256"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("share", range(0, 100, 12))
def test_truncated(folder: Path, file: str, share: int) -> None:
    path = folder / file
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * share // 100])
    if file == IN_FLIGHT:
        (folder / FINISHED).unlink()
    sound(accepted(lambda: table(folder), str(folder)))
    if file == FINISHED:
        refused(lambda: table(folder), FINISHED, kind=DataError)
    accepted(lambda: resume(folder), str(folder))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("seed", range(12))
def test_flipped_bits(folder: Path, file: str, seed: int) -> None:
    path = folder / file
    path.write_bytes(flipped(path.read_bytes(), seed, 1 + seed % 4))
    if file == IN_FLIGHT:
        (folder / FINISHED).unlink()
    sound(accepted(lambda: table(folder), str(folder)))
    accepted(lambda: resume(folder), str(folder))


def test_every_page_of_the_finished_records_is_checked(folder: Path) -> None:
    """A flipped bit never turns into another number."""
    path = folder / FINISHED
    content, before = path.read_bytes(), table(folder)
    pages = pq.ParquetFile(path).metadata.row_group(0)
    column = next(
        pages.column(i) for i in range(pages.num_columns) if pages.column(i).path_in_schema == "ebpg"
    )
    start, length = column.dictionary_page_offset or column.data_page_offset, column.total_compressed_size
    for at in range(start, start + length, 4):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        text = accepted(lambda: table(folder), FINISHED)
        assert text in (None, before), at


HOSTILE: dict[str, Any] = {
    "nothing": None,
    "list": [],
    "mapping": {},
    "true": True,
    "negative": -1,
    "beyond 64 bits": 2**70,
    "fraction": 0.5,
    "text": "x",
    "control characters": "a\n\x1b[31mb\u2028c",
    "long": "x" * 5000,
    "lists": [[[1]]],
    "traversal": "../../escaped",
    "markup": "<script>alert(1)</script>",
}


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything in plain data."""
    if path:
        yield path
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, below in entries:
        yield from leaves(below, (*path, key))


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(tree)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


def rotated(number: int, count: int) -> list[Any]:
    """Some of the hostile values, others for every number."""
    values = list(HOSTILE.values())
    return [values[(number * count + step) % len(values)] for step in range(count)]


def numbered(tree: Any) -> list[Any]:
    return [pytest.param(number, path, id=named(path)) for number, path in enumerate(leaves(tree))]


def named(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


@pytest.mark.parametrize(("number", "path"), numbered(FACTS))
def test_other_types_in_the_environment(folder: Path, number: int, path: tuple[Any, ...]) -> None:
    """The identity only matters for resuming."""
    for value in rotated(number, 2) + ([HOSTILE["control characters"]] if len(path) < 3 else []):
        (folder / "environment.json").write_text(json.dumps(replaced(FACTS, path, value)))
        if path[0] != "identity":
            sound(accepted(lambda: table(folder), str(folder)))
        resumed = accepted(lambda: resume(folder), str(folder))
        assert resumed is None or path[0] not in DECISIVE or replaced(FACTS, path, value) == FACTS
        write_text_atomically(folder / "environment.json", json.dumps(FACTS))


@pytest.mark.parametrize(("number", "path"), numbered(CONFIG.model_dump(mode="json")))
def test_other_types_in_the_configuration(folder: Path, number: int, path: tuple[Any, ...]) -> None:
    for value in (*rotated(number, 1), HOSTILE["control characters"]):
        text = yaml.safe_dump(replaced(CONFIG.model_dump(mode="json"), path, value))
        (folder / "config.yaml").write_text(text)
        sound(accepted(lambda: table(folder), str(folder)))


@pytest.mark.parametrize(("number", "path"), numbered(asdict(RECORDS[0])))
def test_other_types_in_a_record(folder: Path, number: int, path: tuple[Any, ...]) -> None:
    (folder / FINISHED).unlink()
    for value in rotated(number, 2) + ([HOSTILE["control characters"]] if number < 4 else []):
        line = json.dumps(replaced(asdict(RECORDS[0]), path, value))
        (folder / IN_FLIGHT).write_text(f"{line}\n{json.dumps(asdict(RECORDS[1]))}\n")
        sound(accepted(lambda: table(folder), str(folder)))
        accepted(lambda: resume(folder), str(folder))
        (folder / FINISHED).unlink(missing_ok=True)


COLUMNS: dict[str, list[Any]] = {
    "nothing": [None, None],
    "lists": [[], []],
    "long lists": [[1] * 9, []],
    "mappings": [{"a": 1}, {"a": 1}],
    "booleans": [True, False],
    "numbers": [-1, 2**62],
    "not a number": [0.5, float("nan")],
    "infinite": [float("inf"), -float("inf")],
    "texts": ["x", "a\n\x1b[31mb"],
    "bytes": [b"\xff", b"\x00"],
}
OFTEN_READ = {"model", "method", "class_name", "ebpg", "seconds", "maps_kept"}


@pytest.mark.parametrize("column", SCHEMA.names)
def test_other_types_in_the_finished_records(folder: Path, column: str) -> None:
    """Every kind in the columns that the tables read most, every third in the others."""
    kinds = list(COLUMNS.values())
    kinds = kinds if column in OFTEN_READ else kinds[SCHEMA.names.index(column) % 3 :: 3]
    for values in kinds:
        columns = {name: pa.array([asdict(entry)[name] for entry in RECORDS[:2]]) for name in SCHEMA.names}
        pq.write_table(pa.table(columns | {column: pa.array(values)}), folder / FINISHED)
        sound(accepted(lambda: table(folder), str(folder)))


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
TEXTS: dict[str, tuple[str, bytes]] = {
    "laughs": ("config.yaml", f"{yaml.safe_dump(CONFIG.model_dump(mode='json'))}{LAUGHS}".encode()),
    "code": ("config.yaml", b"models: !!python/object/apply:os.system ['touch executed']"),
    "deep YAML": ("config.yaml", b"[" * 20_000),
    "binary YAML": ("config.yaml", bytes(range(256))),
    "deep JSON": ("environment.json", b"[" * 200_000),
    "deep closed JSON": ("environment.json", b'{"tool": ' + b"[" * 900 + b"]" * 900 + b"}"),
    "number of 9000 digits": ("environment.json", b'{"tool": ' + b"9" * 9000 + b"}"),
    "no UTF-8": ("environment.json", b"\xff\xfe{}"),
    "pickle": ("environment.json", b"\x80\x04cos\nsystem\n\x8c\x0etouch executed\x85R."),
    "list": ("environment.json", b"[]"),
    "deep record": (IN_FLIGHT, b"[" * 200_000 + b"\n"),
    "number of digits": (IN_FLIGHT, b'{"model": "a", "forwards": ' + b"9" * 9000 + b"}\n"),
    "half a character": (IN_FLIGHT, b'{"model": "\\ud800"}\n'),
    "key twice": (IN_FLIGHT, json.dumps(asdict(RECORDS[0])).encode()[:-1] + b', "ebpg": "x"}\n'),
    "zeros": (IN_FLIGHT, bytes(5000) + b"\n"),
    "a line of a megabyte": (IN_FLIGHT, b"x" * 1_000_000 + b"\n"),
    "pickle as Parquet": (FINISHED, b"\x80\x04cos\nsystem\n\x8c\x0etouch executed\x85R."),
    "zeros as Parquet": (FINISHED, bytes(5000)),
    "only the marks": (FINISHED, b"PAR1\xff\xff\xff\x7fPAR1"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts(folder: Path, kind: str) -> None:
    file, content = TEXTS[kind]
    (folder / file).write_bytes(content)
    if file == IN_FLIGHT:
        (folder / FINISHED).unlink()
    refused(lambda: table(folder), str(folder / file), kind=DataError)
    if file in ("environment.json", IN_FLIGHT):
        refused(lambda: resume(folder), str(folder / file))


def test_a_row_group_of_more_rows_than_any_tool_writes_is_not_unpacked(folder: Path) -> None:
    rows = row_groups.MOST_ROWS + 1
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["resnet50"]))
    pq.write_table(pa.table({"model": column}), folder / FINISHED, row_group_size=rows)
    assert (folder / FINISHED).stat().st_size < 100_000
    message = refused(lambda: table(folder), f"{rows} rows", "row_group_size=131072", kind=DataError)
    assert "damaged" not in message
    assert "delete" not in message


def test_an_endless_line_is_read_no_further_than_lines_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 2_000)
    (folder / FINISHED).unlink()
    with (folder / IN_FLIGHT).open("ab") as file:
        file.write(b" " * 3_000)  # without an end, a torn line
    refused(lambda: table(folder), "behind line 4", "more than 1 KiB", kind=DataError)
    refused(lambda: resume(folder), "behind line 4", kind=DataError)
    refused(lambda: read_status(folder), "more than 1 KiB", kind=DataError)


@pytest.mark.parametrize("file", FILES)
def test_pipes_in_the_place_of_files(folder: Path, file: str) -> None:
    """Nobody writes to them, so that reading one, or opening it, would never end."""
    (folder / file).unlink()
    fifo(folder / file)
    if file == IN_FLIGHT:
        (folder / FINISHED).unlink()
    if file != "pictures.sha256":
        refused(lambda: table(folder), str(folder / file), "not a plain file", kind=DataError)
    problem = "is a pipe" if file in ("config.yaml", FINISHED) else "not a plain file"
    refused(lambda: resume(folder), str(folder / file), problem)
    if file in ("config.yaml", "environment.json", IN_FLIGHT):
        refused(lambda: read_status(folder), str(folder / file), "not a plain file", kind=DataError)
    for name in ("table", "status", "compare", "report", "baseline"):
        more = {"compare": [folder], "baseline": ["--output", folder / "baseline.json"]}.get(name, [])
        command(name, folder, *more)


@pytest.mark.parametrize("name", ["progress.json", ".lock"])
def test_pipes_in_the_place_of_a_session(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    fifo(folder / name)
    assert read_status(folder).state == "finished"
    assert read_status(folder).session == {}
    if name == ".lock":
        refused(lambda: resume(folder), "is a pipe", kind=OutputError)


@pytest.mark.parametrize("file", FILES)
def test_links_out_of_the_folder_are_not_followed(folder: Path, file: str) -> None:
    (folder / file).rename(folder.parent / "elsewhere")
    (folder / file).symlink_to("../elsewhere")
    before = (folder.parent / "elsewhere").read_bytes()
    if file == IN_FLIGHT:
        (folder / FINISHED).unlink()
    if file != "pictures.sha256":
        refused(lambda: table(folder), str(folder / file), "leads out of the folder", kind=DataError)
    refused(lambda: resume(folder), str(folder / file))
    assert (folder.parent / "elsewhere").read_bytes() == before
    (folder / file).unlink()
    (folder.parent / "elsewhere").rename(folder / "inside")
    if file in ("config.yaml", "environment.json", FINISHED):
        (folder / file).symlink_to("inside")
        assert "50.00" in table(folder)


def test_a_link_in_the_place_of_the_lock_is_not_emptied(folder: Path) -> None:
    (folder / ".lock").unlink(missing_ok=True)
    (folder.parent / "elsewhere").write_text("kept")
    (folder / ".lock").symlink_to("../elsewhere")
    refused(lambda: resume(folder), "is a link", kind=OutputError)
    assert read_status(folder).state == "finished"
    assert (folder.parent / "elsewhere").read_text() == "kept"


def test_a_folder_whose_name_is_not_utf_8(folder: Path) -> None:
    odd = folder.rename(folder.with_name(os.fsdecode(b"bad\xff")))
    assert "50.00" in table(odd)
    assert resume(odd).explained.sum() == 4
    assert "finished" in command("status", odd).output
    for fmt in ("terminal", "md", "latex", "csv", "json"):
        assert command("table", odd, "--format", fmt).exit_code == 0
    assert command("report", odd).exit_code == 0
    run_folder.move_aside(odd)
    assert odd.with_name(f"{odd.name}.1").is_dir()


def test_the_working_folder_is_not_moved_aside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for inside in (folder, folder / "maps"):
        inside.mkdir(exist_ok=True)
        monkeypatch.chdir(inside)
        for name in (".", "..", str(folder)) if inside != folder else (".", str(folder)):
            refused(lambda name=name: run_folder.move_aside(Path(name)), "leave out --no-resume")
    assert folder.is_dir()
    (folder.parent / "beside").mkdir()
    monkeypatch.chdir(folder.parent / "beside")
    run_folder.move_aside(Path("../run"))
    assert (folder.parent / "run.1").is_dir()


def test_a_run_folder_may_itself_be_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder.name)
    assert "50.00" in table(folder.parent / "link")
    assert resume(folder.parent / "link").explained.sum() == 4


@pytest.mark.parametrize("file", FILES)
def test_folders_in_the_place_of_files(folder: Path, file: str) -> None:
    (folder / file).unlink()
    (folder / file).mkdir()
    if file == IN_FLIGHT:
        (folder / FINISHED).unlink()
    if file != "pictures.sha256":
        refused(lambda: table(folder), str(folder))
    refused(lambda: resume(folder), str(folder))


def test_a_picture_whose_name_has_odd_separators_can_be_resumed(tmp_path: Path) -> None:
    pictures = {"a\x85b": "ab" * 32, "c d": "cd" * 32}
    run_folder.claim(tmp_path, CONFIG.model_dump(mode="json"), FACTS, pictures)
    assert run_folder.picture_hashes(tmp_path) == pictures


def test_a_folder_that_cannot_be_renamed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", fail)
    refused(lambda: run_folder.move_aside(folder), f"{folder}: cannot move it aside", kind=OutputError)


def npy(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def lying(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1") + bytes(64)


class _Touch:
    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch executed",)


SOUND_MAP = npy(np.ones((4, 4), np.float32))
MAPS = {
    "nothing": b"",
    "text": b"hello",
    "zeros": bytes(500),
    "only a mark": b"\x93NUMPY",
    "truncated": SOUND_MAP[:-1],
    "pickle": b"\x80\x04cos\nsystem\n\x8c\x0etouch executed\x85R.",
    "objects": npy(np.array([[_Touch()]], dtype=object), allow_pickle=True),
    "zip": b"PK\x03\x04" + bytes(90),
    "one number": npy(np.float32(1)),
    "one axis": npy(np.ones(4, np.float32)),
    "three axes": npy(np.ones((2, 2, 2), np.float32)),
    "doubles": npy(np.ones((2, 2))),
    "empty": npy(np.ones((0, 4), np.float32)),
    "texts": npy(np.array([["a"]])),
    "NaN": npy(np.full((2, 2), np.nan, np.float32)),
    "infinite": npy(np.full((2, 2), np.inf, np.float32)),
    "records": npy(np.zeros((2, 2), dtype=[("a", "<f4"), ("b", "<i4")])),
    "more than the file": lying("{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 1000000)}\n"),
    "beyond 64 bits": lying(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**40}, {2**40})}}\n"),
    "negative": lying("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, -4)}\n"),
    "shape in words": lying("{'descr': '<f4', 'fortran_order': False, 'shape': 'x'}\n"),
    "no shape": lying("{'descr': '<f4', 'fortran_order': False}\n"),
    "no mapping": lying("[]\n"),
    "unknown dtype": lying("{'descr': '<z9', 'fortran_order': False, 'shape': (2, 2)}\n"),
    "code": lying("__import__('os').system('touch executed')\n"),
    "deep": lying("(" * 5000 + ")" * 5000),
    "version 9": b"\x93NUMPY\x09\x00" + SOUND_MAP[8:],
    "no Latin-1": b"\x93NUMPY\x03\x00\x04\0\0\0\xff\xfe\xff\xfe",
}


def zipped(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, saliency=array)
    return buffer.getvalue()


MAPS["npz"] = zipped(np.ones((4, 4), np.float32))


def reading(folder: Path, content: bytes) -> Callable[[], Any]:
    key = Key("resnet50", "sise", "000001", "dog")
    path = maps.map_path(folder, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    gallery = Gallery(folder, VocDataset("none", (), {}, {}), {})
    return lambda: gallery.saliency(key)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("kind", MAPS)
def test_maps(tmp_path: Path, kind: str) -> None:
    refused(reading(tmp_path, MAPS[kind]), "000001_dog.npy", kind=DataError)


def test_a_map_that_is_a_pipe_or_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    read = reading(folder, SOUND_MAP)
    path = maps.map_path(folder, Key("resnet50", "sise", "000001", "dog"))
    path.rename(tmp_path / "elsewhere.npy")
    fifo(path)
    refused(read, "000001_dog.npy", "not a plain file", kind=DataError)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere.npy")
    refused(read, "000001_dog.npy", "leads out of the folder", kind=DataError)
    (folder / "maps").rename(tmp_path / "maps")
    (folder / "maps").symlink_to("../maps")
    key = Key("resnet50", "sise", "000002", "dog")
    refused(lambda: maps.save_map(folder, key, torch.zeros(2, 2)), "leads out of the folder")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(40))
def test_maps_with_flipped_bits(tmp_path: Path, seed: int) -> None:
    saliency = accepted(reading(tmp_path, flipped(SOUND_MAP, seed, 1 + seed % 4)), "000001_dog.npy")
    assert saliency is None or (saliency.ndim, saliency.dtype) == (2, np.float32)
    assert (reading(tmp_path, SOUND_MAP)() == 1).all()


ENGINE = {"layout": "contiguous", "batch_size": 8, "backend": "torch"}
OLDER_ENGINE = {"layout": "contiguous", "batch_size": 8, "compile": False}
CACHES = {
    "deep": "[" * 200_000,
    "deep closed": "[" * 900 + "]" * 900,
    "list of pairs": '[["a", 1]]',
    "text": '"a"',
    "number": "3",
    "null": "null",
    "NaN": "NaN",
    "number of digits": "9" * 9000,
    "NUL": "\0",
    "half": '{"a": {',
    **{
        f"{key}: {name}": json.dumps({"a": ENGINE | {key: value}})
        for key in ENGINE
        for name, value in HOSTILE.items()
        if (key, name) != ("batch_size", "true")
    },
    **{
        f"compile: {name}": json.dumps({"a": OLDER_ENGINE | {"compile": value}})
        for name, value in HOSTILE.items()
        if name != "true"
    },
    **{f"engine: {name}": json.dumps({"a": value}) for name, value in HOSTILE.items()},
    "no inputs": json.dumps({"a": ENGINE | {"batch_size": 0}}),
    "a million inputs": json.dumps({"a": ENGINE | {"batch_size": 10**6}}),
}


@pytest.mark.parametrize("kind", CACHES)
def test_a_hostile_memory_of_engines_is_no_memory(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine_cache.cache_file().parent.mkdir()
    engine_cache.cache_file().write_text(CACHES[kind])
    assert engine_cache.recall(["a"]) is None
    engine_cache.remember(["a"], Engine("channels_last", 16))
    assert engine_cache.recall(["a"]) == Engine("channels_last", 16)


def test_from_the_command_line(folder: Path) -> None:
    for kind in ("laughs", "deep JSON", "zeros as Parquet"):
        file, content = TEXTS[kind]
        before = (folder / file).read_bytes()
        (folder / file).write_bytes(content)
        assert command("table", folder).exit_code == 3
        (folder / file).write_bytes(before)
    assert command("table", folder).exit_code == 0


def test_the_exit_codes_are_those_of_data_and_output() -> None:
    assert issubclass(DataError, BenchError)
    assert (DataError.exit_code, OutputError.exit_code) == (3, 5)
