"""A finished file that another tool has divided into the files of a folder is read as the one file is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from baseline_folders import all_of

from adasise_bench.records import manifest
from adasise_bench.records.folder_names import FINISHED, IN_FLIGHT, MANIFEST
from adasise_bench.records.reading import read_records, record_batches
from adasise_bench.records.record import Key, Record
from adasise_bench.records.run import load_run
from adasise_bench.records.store import RecordStore
from adasise_bench.regression.baseline import baseline_of
from adasise_bench.reporting.figures.basis import records_of
from adasise_bench.reporting.report.page import write_report
from adasise_bench.reporting.tables import build_tables
from adasise_bench.run.status import read_status
from adasise_bench.utils.errors import DataError

WHOLE = Path(__file__).parents[1] / "golden" / "run_folder"


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    """The golden run folder with its records in three files, the middle one of several row groups."""
    folder = tmp_path / WHOLE.name
    shutil.copytree(WHOLE, folder)
    table = pq.read_table(folder / FINISHED)
    (folder / FINISHED).unlink()
    (folder / MANIFEST).unlink()
    (folder / FINISHED).mkdir()
    for part, (start, stop) in enumerate([(0, 10), (10, 40), (40, len(table))]):
        path = folder / FINISHED / f"part-{part}.parquet"
        pq.write_table(table.slice(start, stop - start), path, row_group_size=7)
    (folder / FINISHED / "notes.txt").write_text("files of other names are not read")
    return folder


def test_everything_that_reads_records_reads_all_parts(divided: Path, tmp_path: Path) -> None:
    one, other = load_run(WHOLE), load_run(divided)
    assert one.records.equals(other.records)
    assert build_tables([one]).tables == build_tables([other]).tables
    assert all_of(baseline_of(one).values).equals(all_of(baseline_of(other).values))
    assert read_status(WHOLE).counts == read_status(divided).counts
    assert read_status(divided).state == "finished"
    assert {label: len(own) for label, own in records_of([one], "scenes_vgg").items()} == {
        label: len(own) for label, own in records_of([other], "scenes_vgg").items()
    }
    pages = [tmp_path / "one.html", tmp_path / "other.html"]
    for run, page in zip((one, other), pages, strict=True):
        write_report([run], page)
    index = [page.read_text().partition('id="index">')[2].partition("</script>")[0] for page in pages]
    assert index[0] == index[1]


def test_a_run_goes_on_from_the_parts_and_ends_with_one_file(divided: Path) -> None:
    (divided / FINISHED / "notes.txt").unlink()
    before = read_records(divided)
    (divided / IN_FLIGHT).unlink()
    assert sum(map(len, record_batches(divided))) == len(before)
    store = RecordStore(divided)
    store.append([replace(Record("scenes_vgg", "sise", "new", "disc"), score=0.5)])
    assert not (divided / FINISHED).exists()
    store.finish()
    store.close()
    assert (divided / FINISHED).is_file()
    assert len(read_records(divided)) == len(before) + 1


def test_a_finished_run_with_parts_is_written_as_one_file_again(divided: Path) -> None:
    (divided / FINISHED / "notes.txt").unlink()
    store = RecordStore(divided)
    store.finish()
    store.close()
    assert (divided / FINISHED).is_file()
    order = list(Key._fields)
    one, other = (read_records(folder).sort_values(order, ignore_index=True) for folder in (divided, WHOLE))
    pd.testing.assert_frame_equal(one, other)


def test_a_folder_without_parts_and_a_damaged_part_are_named(divided: Path) -> None:
    (divided / FINISHED / "part-1.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match=f"{FINISHED}: damaged records"):
        load_run(divided)
    for path in (divided / FINISHED).glob("*.parquet"):
        path.unlink()
    with pytest.raises(DataError, match=r"a folder without a file \*\.parquet"):
        load_run(divided)


def test_parts_in_the_place_of_a_sealed_file_are_refused_with_the_cure(divided: Path) -> None:
    shutil.copy(WHOLE / MANIFEST, divided / MANIFEST)
    with pytest.raises(DataError, match=r"is a folder, while .*; delete manifest\.json to take it as it is"):
        manifest.verify(divided)
