"""What can happen to a run that lasts for days: nothing finished is lost, and the end is a clear one."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from io import BytesIO
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageOps
from small_runs import assert_same, settings, tiny_network, twenty_classes
from tqdm import tqdm

from adasise_bench.data.voc import VocDataset
from adasise_bench.methods.sise.sise import Sise
from adasise_bench.models.classifier import Classifier, Weights
from adasise_bench.records import environment
from adasise_bench.records.folder_names import IN_FLIGHT, LOCK
from adasise_bench.records.reading import read_records
from adasise_bench.records.store import RecordStore
from adasise_bench.run import network, worker
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import BenchError, DataError, OutputError

KILLS = 30
EXPLANATIONS = 8
NOBODY = 65534
SAID = "said.txt"


@pytest.fixture(autouse=True)
def _tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_network(monkeypatch)
    monkeypatch.setattr(environment, "tool_commit", lambda: None)  # git takes longer than a run here


@pytest.fixture
def whole(voc_root: Path, tmp_path: Path) -> Path:
    """An undisturbed run."""
    run(settings(voc_root), tmp_path / "whole")
    return tmp_path / "whole"


# What happens to a process happens to one of its own, started from a server that has imported torch but
# not used it.


def run_in_process(
    root: Path, folder: Path, kill_at_write: int = 0, file_size: int = 0, user: int = 0
) -> None:
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own would outlive a kill
    environment.tool_commit = lambda: None
    network.load_classifier = lambda name, **_settings: twenty_classes(name)  # type: ignore[assignment]
    if kill_at_write:
        _kill_at(kill_at_write, folder)
    if file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, resource.RLIM_INFINITY))
    if user:
        run(settings(root, limit=1), folder.with_name("imports"))
        os.setuid(user)
    try:
        run(settings(root), folder)
    except BenchError as error:
        folder.with_name(SAID).write_text(str(error))
        os._exit(error.exit_code)


def _kill_at(write: int, folder: Path) -> None:
    """Kill this process between writing its n-th whole file of a folder and putting it in place."""
    put_in_place, writes = Path.replace, []

    def replace_or_die(self: Path, target: Path) -> Path:
        if target.is_relative_to(folder):
            writes.append(target)
        if len(writes) == write:
            os.kill(os.getpid(), signal.SIGKILL)
        return put_in_place(self, target)

    Path.replace = replace_or_die  # type: ignore[assignment, method-assign]


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(["test_faults", "torchvision.datasets", "adasise_bench.methods.sise.sise"])
    with pytest.MonkeyPatch.context() as patch:  # the server finds what it imports here, not in sys.path
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        process = context.Process(target=int)
        process.start()
        process.join()
    return context


def started(server: ForkServerContext, *arguments: Any, **more: Any) -> ForkServerProcess:
    process = server.Process(target=run_in_process, args=arguments, kwargs=more)
    process.start()
    return process


def ended(server: ForkServerContext, *arguments: Any, **more: Any) -> int | None:
    process = started(server, *arguments, **more)
    process.join(120)
    return process.exitcode


_LATER = 1.02
"""Later kills come later: a machine that has slowed down since the timing must get to its records."""


def test_killed_at_random_moments(
    server: ForkServerContext, voc_root: Path, tmp_path: Path, whole: Path
) -> None:
    seconds = []
    for attempt in range(2):
        begun = time.monotonic()
        assert ended(server, voc_root, tmp_path / f"timed{attempt}") == 0
        seconds.append(time.monotonic() - begun)
    longest = min(seconds)
    moments = random.Random(0)
    killed, folders, records_at_kills = 0, [tmp_path / "killed0"], set()
    while killed < KILLS:
        process = started(server, voc_root, folders[-1])
        process.join(moments.uniform(0, longest))
        if process.exitcode is None:
            process.kill()
            killed += 1
            longest *= _LATER
        process.join()
        if (folders[-1] / IN_FLIGHT).exists():
            records_at_kills.add(len(read_records(folders[-1])))
        if process.exitcode == 0:
            assert_same(folders[-1], whole)
            folders.append(tmp_path / f"killed{len(folders)}")
    assert ended(server, voc_root, folders[-1]) == 0
    assert_same(folders[-1], whole)
    assert len(records_at_kills) > 3


@pytest.mark.parametrize("write", [1, 2, 3, 5])
def test_killed_while_writing_a_file(
    server: ForkServerContext, voc_root: Path, tmp_path: Path, whole: Path, write: int
) -> None:
    """Configuration, hashes, environment, a map: half-written, it neither stays nor bars the way."""
    assert ended(server, voc_root, tmp_path / "out", kill_at_write=write) == -signal.SIGKILL
    assert list((tmp_path / "out").rglob(".*.tmp"))
    run(settings(voc_root), tmp_path / "out")
    assert_same(tmp_path / "out", whole)


def test_a_full_disk(server: ForkServerContext, voc_root: Path, tmp_path: Path, whole: Path) -> None:
    """The system refuses to let any file grow beyond a limit, as it does when the disk is full."""
    assert ended(server, voc_root, tmp_path / "out", file_size=5000) == OutputError.exit_code
    assert "give the same command again; what is finished is kept" in (tmp_path / SAID).read_text()
    kept = len(read_records(tmp_path / "out"))
    assert 0 < kept < EXPLANATIONS
    assert run(settings(voc_root), tmp_path / "out").reused == kept
    assert_same(tmp_path / "out", whole)


def test_a_folder_without_permission_to_write(
    server: ForkServerContext, voc_root: Path, tmp_path: Path
) -> None:
    user = 0
    run(settings(voc_root, limit=1), tmp_path / "out")
    before = (tmp_path / "out" / IN_FLIGHT).read_bytes()
    if os.geteuid() == 0:  # permissions do not bind root
        user = NOBODY
        for path in [tmp_path, *tmp_path.parents]:
            if path.is_relative_to(tempfile.gettempdir()) and path != Path(tempfile.gettempdir()):
                path.chmod(0o755)
        (tmp_path / SAID).touch()
        (tmp_path / SAID).chmod(0o666)
    for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert ended(server, voc_root, tmp_path / "out", user=user) == OutputError.exit_code
    finally:
        for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]:
            path.chmod(0o755)
    assert "cannot write: Permission denied" in (tmp_path / SAID).read_text()
    assert (tmp_path / "out" / IN_FLIGHT).read_bytes() == before


@pytest.mark.parametrize("torn", [1, 40, 10_000])
def test_a_torn_end_of_the_records(voc_root: Path, tmp_path: Path, whole: Path, torn: int) -> None:
    shutil.copytree(whole, tmp_path / "out")
    (tmp_path / "out/records.parquet").unlink()
    records = tmp_path / "out" / IN_FLIGHT
    size = max(0, records.stat().st_size - torn)
    os.truncate(records, size)
    kept = records.read_bytes().count(b"\n")
    outcome = run(settings(voc_root), tmp_path / "out")
    assert (outcome.reused, outcome.computed) == (kept, EXPLANATIONS - kept)
    assert kept < EXPLANATIONS
    assert_same(tmp_path / "out", whole)


@pytest.mark.parametrize("failure", [MemoryError(), struct.error("unpack"), RuntimeError("decoder\nbug")])
def test_the_loading_thread_meets_something_unexpected(
    voc_root: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    read = VocDataset.picture

    def fail_once(self: VocDataset, image_id: str, *rest: Any) -> Any:
        if image_id == "000002":
            raise failure
        return read(self, image_id, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(VocDataset, "picture", fail_once)
        assert run(settings(voc_root), tmp_path / "out").errors == 2
    errors = read_records(tmp_path / "out")["error"].dropna()
    assert errors.str.contains(rf"000002\.jpg: cannot load the picture: {type(failure).__name__}").all()
    assert not errors.str.contains("\n").any()
    assert run(settings(voc_root), tmp_path / "out").reused == 6
    assert_same(tmp_path / "out", whole)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("failure", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_memory_runs_out_where_no_smaller_batch_helps(
    voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, shared: bool
) -> None:
    block_maps, calls = Classifier.block_maps, []
    config = settings(voc_root, share_forwards=shared)

    def short_of_memory(self: Classifier, image: torch.Tensor, targets: Any) -> Any:
        calls.append(targets)
        if len(calls) in (2, 3, 4):
            raise failure
        return block_maps(self, image, targets)

    run(config, tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "block_maps", short_of_memory)
        errors = run(config, tmp_path / "out").errors
    assert 0 < errors < 4
    assert read_records(tmp_path / "out")["error"].dropna().str.contains("out of memory").all()
    assert run(config, tmp_path / "out").computed == errors
    assert_same(tmp_path / "out", tmp_path / "undisturbed")


def test_other_failures_of_the_network_are_not_hidden(
    voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Sise, "explain", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        run(settings(voc_root), tmp_path / "out")


def test_the_pictures_vanish_and_come_back(
    voc_root: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = voc_root / "VOCdevkit/VOC2007"
    append = RecordStore.append

    def append_and_unplug(self: RecordStore, records: Any) -> None:
        append(self, records)
        if (base / "JPEGImages").exists():
            (base / "JPEGImages").rename(base / "unplugged")

    with monkeypatch.context() as patch:
        patch.setattr(RecordStore, "append", append_and_unplug)
        patch.setattr(worker, "_LOOKAHEAD", 1)
        assert run(settings(voc_root), tmp_path / "out").errors == 4
    errors = read_records(tmp_path / "out")["error"].dropna()
    assert errors.str.contains("cannot read the picture").all()
    with pytest.raises(OutputError, match="picture 000001"):
        run(settings(voc_root), tmp_path / "out")
    voc_root.rename(voc_root.with_name("elsewhere"))
    with pytest.raises(DataError, match="no VOC 2007 test set here"):
        run(settings(voc_root), tmp_path / "out")
    voc_root.with_name("elsewhere").rename(voc_root)
    (base / "unplugged").rename(base / "JPEGImages")
    assert run(settings(voc_root), tmp_path / "out").reused == 4
    assert_same(tmp_path / "out", whole)


def test_a_picture_that_changes_after_the_start_is_not_explained_under_its_old_hash(
    voc_root: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = voc_root / "VOCdevkit/VOC2007/JPEGImages"
    kept = (pictures / "000003.jpg").read_bytes()
    append = RecordStore.append

    def append_and_replace(self: RecordStore, records: Any) -> None:
        append(self, records)
        with Image.open(BytesIO(kept)) as picture:
            ImageOps.invert(picture).save(pictures / "000003.jpg")

    with monkeypatch.context() as patch:
        patch.setattr(RecordStore, "append", append_and_replace)
        patch.setattr(worker, "_LOOKAHEAD", 1)
        assert run(settings(voc_root), tmp_path / "out").errors == 2
    records = read_records(tmp_path / "out").set_index("image_id")
    assert records.loc["000003", "error"].str.contains("not the picture that the run began with").all()
    assert records.drop("000003")["error"].isna().all()
    (pictures / "000003.jpg").write_bytes(kept)
    assert run(settings(voc_root), tmp_path / "out").reused == 6
    assert_same(tmp_path / "out", whole)


def test_the_users_code_may_change_the_working_directory(
    voc_root: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    explain = Sise.explain

    def explain_elsewhere(*arguments: Any) -> Any:
        os.chdir(tmp_path / "elsewhere")
        return explain(*arguments)

    monkeypatch.setattr(Sise, "explain", explain_elsewhere)
    monkeypatch.setattr(worker, "_LOOKAHEAD", 1)
    assert run(settings(voc_root.relative_to(tmp_path)), Path("out")).errors == 0
    assert Path.cwd() == tmp_path
    assert not list((tmp_path / "elsewhere").iterdir())
    assert_same(tmp_path / "out", whole)


def test_a_second_writer_is_refused_even_when_the_locks_file_was_deleted(
    voc_root: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, refused = RecordStore.append, []

    def append_and_intrude(self: RecordStore, records: Any) -> None:
        append(self, records)
        (tmp_path / "out" / LOCK).unlink(missing_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr(RecordStore, "append", append)
            for resume in (True, False):
                with pytest.raises(OutputError, match="another run is writing here") as caught:
                    run(settings(voc_root), tmp_path / "out", resume=resume)
                refused.append(caught.value)

    with monkeypatch.context() as patch:
        patch.setattr(RecordStore, "append", append_and_intrude)
        assert run(settings(voc_root), tmp_path / "out").errors == 0
    assert len(refused) == 2 * EXPLANATIONS
    assert not (tmp_path / "out.1").exists()
    (tmp_path / "out" / LOCK).touch()
    assert_same(tmp_path / "out", whole)


def test_records_that_nobody_made_do_not_count_as_a_finished_run(
    voc_root: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = worker.Worker.records

    def without_one_picture(self: worker.Worker, *arguments: Any) -> Any:
        for records in made(self, *arguments):
            if left := [record for record in records if record.image_id != "000002"]:
                yield left

    with monkeypatch.context() as patch:
        patch.setattr(worker.Worker, "records", without_one_picture)
        with pytest.raises(BenchError, match="2 of 8 planned records were not made, for example resnet50"):
            run(settings(voc_root), tmp_path / "out")
    assert not (tmp_path / "out/records.parquet").exists()
    assert run(settings(voc_root), tmp_path / "out").reused == 6
    assert_same(tmp_path / "out", whole)


def other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_network(monkeypatch, weights=Weights("other", "1" * 64, False))


def other_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "tool_commit", lambda: "0123456789ab")


def other_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = network.METHODS["sise"]._replace(definition="sise-v99")
    monkeypatch.setattr(network, "METHODS", {**network.METHODS, "sise": changed})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_weights, rf"weights\.resnet50: {'0' * 57}\.\.\. -> {'1' * 57}\.\.\."),
        (other_commit, r"tool\.commit: .* -> 0123456789ab"),
        (other_definition, r"definitions\.sise: sise-v\d+ -> sise-v99"),
    ],
)
def test_what_is_no_longer_the_same_is_refused_and_named(
    voc_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
    named: str,
) -> None:
    run(settings(voc_root, limit=1), tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    change(monkeypatch)
    with pytest.raises(OutputError, match=named):
        run(settings(voc_root), tmp_path / "out")
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before
