"""Measures what a run over many devices costs beside its explanations, and predicts larger ones.

    python scripts/scaling.py memory                 the driver's memory for 10^4, 10^5 and 10^6 records
    python scripts/scaling.py costs                  seconds to hand out, write, read, decode, hash
    python scripts/scaling.py synthetic FOLDER --pairs 333250   a finished run of random values, in seconds
    python scripts/scaling.py report FOLDER          size of a run's report, seconds to open it
    python scripts/scaling.py start TREE             seconds and memory of starting with 200,000 pictures
    python scripts/scaling.py curve                  memory of driver and workers during a long run
    python scripts/scaling.py efficiency             1 and 2 CPU workers, each on a core of its own
    python scripts/scaling.py predict --forwards 4000 --forwards-per-second 8000 --costs costs.json

Run the middle two on an idle machine with OMP_NUM_THREADS=1; docs/scaling.md says what the numbers mean.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "quickstart.yaml"

PICTURES_PER_CHUNK = 4

WAYS_TO_WRITE = {"one by one": 1, "16 at once": 16}


@click.group()
def main() -> None:
    """What scaling costs."""


def fake_record(model: str, method: str, image_id: str) -> Any:
    """A record as long as real ones."""
    from adasise_bench.records.record import Record

    third = 100 / 3
    seconds: dict[str, Any] = {
        f"seconds{part}": third for part in ("", "_feature_maps", "_selection", "_scoring", "_fusion")
    }
    return Record(
        model, method, image_id, "dog", ebpg=third, bbox=third, drop=third, increase=100.0, miou=third,
        pointing=third, pointing_difficult=third,
        **seconds, seconds_plain_forward=third, forwards=4000, backwards=1, maps_kept=[40, 80, 160, 300, 700],
        maps_positive=[40, 80, 160, 300, 700], degenerate=False, published_model=True, weights="a" * 12,
    )  # fmt: skip


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@main.command()
@click.option("--records", type=int, help="Only this many, in this process.")
@click.option("--methods", default=10, show_default=True, help="Records per picture.")
def memory(records: int | None, methods: int) -> None:
    """Memory of a driver that plans, writes and finishes so many records, one class per picture."""
    if records is None:
        for count in (10_000, 100_000, 1_000_000):
            subprocess.run(
                [sys.executable, __file__, "memory", "--records", str(count), "--methods", str(methods)],
                check=True,
            )
        return
    from adasise_bench.records.planned_keys import PlannedKeys
    from adasise_bench.records.store import RecordStore

    begun = resident()
    images = {f"n{number:08}": ["dog"] for number in range(records // methods)}
    planned = PlannedKeys(["resnet50"], [f"method{n}" for n in range(methods)], images, images.__getitem__)
    with TemporaryDirectory() as folder:
        store = RecordStore(Path(folder), planned)
        opened = resident()
        batch = []
        for key in planned:
            batch.append(fake_record(key.model, key.method, key.image_id))
            if len(batch) == 1000:
                store.append(batch)
                batch = []
        store.append(batch)
        appended = resident()
        store.finish()
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        store.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    planning, writing = opened - begun, appended - opened
    click.echo(
        f"{records:9} records: {begun / 1e6:.0f} MB before; plan and store {planning / 1e6:.1f} MB, "
        f"{planning / records:.1f} B per record; writing adds {writing / 1e6:.1f} MB; "
        f"peak with finishing {peak / 1e6:.0f} MB; on disk {size / records:.0f} B per record"
    )


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--pairs", default=333_250, show_default=True, help="Of a picture and a class.")
@click.option("--seed", default=0, show_default=True)
@click.option("--shards", default=0, show_default=True, help="Write so many shards of it for `merge`.")
def synthetic(folder: Path, pairs: int, seed: int, shards: int) -> None:
    """Write a finished run of random values, with three methods and two pairs a picture, into FOLDER."""
    from scaling_parts.synthetic import synthetic_run, synthetic_shards

    if shards:
        synthetic_shards(folder, pairs, seed, shards)
    else:
        synthetic_run(folder, pairs, seed)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Write the report of the run FOLDER into it, and open it in Chromium: its size and the seconds."""
    from scaling_parts.opening import opening_of

    from adasise_bench.records import load_run
    from adasise_bench.reporting.report.page import write_report

    path = folder / "report.html"
    write_report([load_run(folder)], path)
    found = opening_of(path, "00042")
    seconds = f"{found.first_pairs:.2f} s to the first pairs; {found.search:.2f} s to search"
    click.echo(
        f"{found.megabytes:.1f} MB; {seconds}; {found.processor:.2f} s of the browser's processor time"
    )


def seconds_each(work: Callable[[], Any], times: int) -> float:
    """Mean seconds of one call, after one that does not count."""
    work()
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def _echo(connection: Connection) -> None:
    """Answers a chunk as a worker does that needs no time."""
    from adasise_bench.run.launchers.events import Done, Made

    while True:
        chunk = connection.recv()
        for key in chunk.keys:
            connection.send(Made([fake_record(key.model, key.method, key.image_id)]))
        connection.send(Done())


@main.command()
@click.option("--output", type=click.Path(path_type=Path), help="Write them as JSON too, for `predict`.")
def costs(output: Path | None) -> None:
    """Seconds of everything but the explanations, on this machine and disk."""
    import numpy as np

    from adasise_bench.data.transforms import to_input
    from adasise_bench.records.planned_keys import KeySet
    from adasise_bench.records.store import RecordStore
    from adasise_bench.run.config_file import load_config
    from adasise_bench.run.launchers.chunks import chunks_of
    from adasise_bench.run.launchers.events import Done
    from adasise_bench.run.plan import make_plan

    plan = make_plan(load_config(CONFIG))
    found: dict[str, float] = {}
    dataset, ids = plan.dataset, list(plan.annotations)
    annotation = dataset.annotation(ids[0])
    found["read an annotation"] = seconds_each(lambda: dataset.annotation(ids[0]), 300)
    found["hash a picture"] = seconds_each(lambda: dataset.digest(ids[0]), 300)
    found["decode a picture to 224 px"] = seconds_each(
        lambda: to_input(dataset.picture(ids[0], annotation), "stretch", 224), 100
    )
    everything = KeySet(plan.keys, np.ones(len(plan.keys), np.bool_))
    chunks = list(chunks_of(plan, everything, dataset.digests(), PICTURES_PER_CHUNK))
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    worker = context.Process(target=_echo, args=(theirs,), daemon=True)
    worker.start()

    def hand_out() -> int:
        records = 0
        for chunk in chunks:
            ours.send(chunk)
            while not isinstance(ours.recv(), Done):
                records += 1
        return records

    found["hand out, per record"] = seconds_each(hand_out, 20) / hand_out()
    worker.kill()
    with TemporaryDirectory(prefix="scaling-", dir=Path.cwd()) as folder:
        store = RecordStore(Path(folder), plan.keys)
        for way, count in WAYS_TO_WRITE.items():
            batch = [fake_record("scenes_vgg", "sise", image_id) for image_id in ids[:count]]
            found[f"write a record, {way}"] = seconds_each(partial(store.append, batch), 100) / count
        store.close()
    for name, seconds in found.items():
        click.echo(f"{name:28} {seconds * 1e3:9.4f} ms")
    if output is not None:
        output.write_text(json.dumps(found, indent=1) + "\n")


@main.command()
@click.argument("tree", type=click.Path(path_type=Path))
@click.option("--pictures", default=200_000, show_default=True)
@click.option("--times", default=2, show_default=True, help="Starts, each in a process of its own.")
@click.option("--once", is_flag=True, hidden=True)
def start(tree: Path, pictures: int, times: int, once: bool) -> None:
    """Seconds from the start of a run to its first chunk, with a launcher that has no networks.

    TREE is the folder of the pictures, which are made if it does not exist: hard links of a few small ones.
    Remove it afterwards. PYTHONPATH chooses the build that is measured.
    """
    if not tree.exists():
        make_tree(tree, pictures)
    if not once:
        for _ in range(times):
            subprocess.run([sys.executable, __file__, "start", str(tree), "--once"], check=True)
        return
    import torchvision.datasets  # noqa: F401 - imported before the clock starts

    from adasise_bench.run.config_file import load_config
    from adasise_bench.run.runner import run

    voc = CONFIG.with_name("table1.yaml")
    config = load_config(voc, [f"data.root={tree}", "device=cpu"], models=["vgg16"], methods=["sise"])
    launcher = StartOnly(config)
    before = resident()
    clock = time.perf_counter()
    try:
        run(config, tree / "run", launcher=launcher)
    except StartedError:
        click.echo(
            f"{time.perf_counter() - clock:7.2f} s to the first chunk; "
            f"{(resident() - before) / launcher.pictures:.0f} B more in memory per picture"
        )


class StartedError(Exception):
    """The run would now make its first record."""


class StartOnly:
    """A launcher that ends the run as soon as it has a chunk to give."""

    def __init__(self, config: Any) -> None:
        self._config, self.pictures = config, 0

    def __enter__(self) -> Any:
        """Do nothing."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Do nothing."""

    def open(self, plan: Any) -> None:
        """Count the pictures."""
        self.pictures = len(plan.dataset.images)

    def prepare(self, _engines: Any) -> dict[str, Any]:
        """Name an engine."""
        return fake_facts(self._config)

    def records(self, plan: Any, todo: Any, digests: Any) -> Any:
        """Cut the first chunk and stop."""
        from adasise_bench.run.launchers.chunks import chunks_of

        next(chunks_of(plan, todo, digests, PICTURES_PER_CHUNK))
        raise StartedError

    def workers(self) -> list[dict[str, Any]]:
        """There is none."""
        return []


def fake_facts(config: Any) -> dict[str, Any]:
    """What a worker says of itself, without its networks."""
    import torch

    from adasise_bench.records import environment

    engine = {"layout": "contiguous", "batch_size": 16, "backend": "torch"}
    model = {"engine": engine, "weights_sha256": "a" * 64, "published": True}
    return environment.describe(torch.device("cpu"), config.precision, {}) | {
        "deterministic": config.deterministic,
        "models": dict.fromkeys(config.models, model),
    }


def make_tree(tree: Path, pictures: int) -> None:
    """A set in VOC layout of tiny pictures: a hundred different ones, and hard links to them."""
    from PIL import Image

    base = tree / "VOCdevkit" / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (base / folder).mkdir(parents=True)
    box = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    size = "<size><width>16</width><height>16</height><depth>3</depth></size>"
    with (base / "ImageSets/Main/test.txt").open("w") as listing:
        for number in range(pictures):
            name = f"ILSVRC2012_val_{number:08}"
            image, annotation = base / f"JPEGImages/{name}.jpg", base / f"Annotations/{name}.xml"
            listing.write(f"{name}\n")
            if number < 100:
                Image.new("RGB", (16, 16), (number, 100, 200)).save(image)
                found = "dog" if number % 2 else "cat"
                annotation.write_text(
                    f"<annotation>{size}<object><name>{found}</name>{box}</object></annotation>"
                )
            else:
                first = f"ILSVRC2012_val_{number % 100:08}"
                image.hardlink_to(image.with_name(f"{first}.jpg"))
                annotation.hardlink_to(annotation.with_name(f"{first}.xml"))


@main.command()
@click.option("--pictures", default=5000, show_default=True, help="Drawn scenes; 64 different ones.")
@click.option("--methods", default="centre,gradient", show_default=True, help="Cheap ones.")
@click.option("--side", default=96, show_default=True, help="Of the network's input, in pixels.")
@click.option("--every", default=10.0, show_default=True, help="Seconds.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the curve as OUTPUT.csv and .png too.")
def curve(pictures: int, methods: str, side: int, every: float, output: Path | None) -> None:
    """Resident memory of the driver and of two worker processes while a run goes on."""
    from adasise_bench.data.scenes import SCENES_VERSION, embedded_root

    with TemporaryDirectory() as temporary:
        cache, folder = Path(temporary), Path(temporary) / "run"
        repeat_scenes(embedded_root(), cache / "adasise-bench" / f"scenes-v{SCENES_VERSION}", pictures)
        settings = (
            f"methods=[{methods}]", "extra_metrics=[]", "limit=null", "engine.layout=contiguous",
            "engine.batch_size=16", f"data.input_size={side}",
        )  # fmt: skip
        command = [
            sys.executable,
            "-m",
            "adasise_bench",
            "run",
            "--config",
            str(CONFIG),
            "--output",
            str(folder),
        ]
        command += ["--devices", "cpu,cpu", *(part for each in settings for part in ("--set", each))]
        environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
        rows: list[tuple[float, ...]] = []
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as driver:
            while driver.poll() is None:
                time.sleep(every)
                rows += report_memory(folder, driver.pid)
    if output is not None:
        draw_curve(rows, output)


def repeat_scenes(scenes: Path, root: Path, pictures: int) -> None:
    """A set of so many pictures, which are hard links or copies of the drawn scenes."""
    import shutil

    source, target = scenes / "VOCdevkit/VOC2007", root / "VOCdevkit/VOC2007"
    names = sorted(path.stem for path in (source / "JPEGImages").iterdir())
    (target / "ImageSets/Main").mkdir(parents=True)
    for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml")):
        (target / folder).mkdir()
        for number in range(pictures):
            name = names[number % len(names)]
            shutil.copy(source / folder / f"{name}.{suffix}", target / folder / f"{number:06}.{suffix}")
    (target / "ImageSets/Main/test.txt").write_text("".join(f"{number:06}\n" for number in range(pictures)))


def report_memory(folder: Path, driver: int) -> list[tuple[float, ...]]:
    """Print the number of records and the resident memory of all processes of the run.

    Returns:
        These numbers, in MB, as one row; nothing before all processes are there.
    """
    try:
        session = json.loads((folder / "progress.json").read_text())
        workers = [worker["pid"] for worker in session["workers"] if worker["pid"]]
        records = (folder / "records.jsonl").read_bytes().count(b"\n")
        sizes = [resident_of(pid) / 1e6 for pid in (driver, *workers)]
    except (OSError, ValueError, LookupError):
        return []  # not begun, or just ended
    click.echo(f"{records:7} records: driver, workers: " + ", ".join(f"{size:.0f} MB" for size in sizes))
    return [(records, *sizes)] if len(workers) == len(session["workers"]) and all(sizes) else []


def draw_curve(rows: Sequence[tuple[float, ...]], output: Path) -> None:
    """Write the rows of :func:`report_memory` as a table and as a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    titles = ("driver", *(f"worker {number}" for number in range(len(rows[0]) - 2)))
    lines = [",".join(("records", *(f"{title} (MB)" for title in titles)))]
    lines += [",".join(f"{value:.1f}".removesuffix(".0") for value in row) for row in rows]
    output.with_suffix(".csv").write_text("\n".join(lines) + "\n")
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for column, title in enumerate(titles, 1):
        axes.plot([row[0] for row in rows], [row[column] for row in rows], label=title)
    axes.set(xlabel="records written", ylabel="resident memory (MB)")
    axes.set_ylim(0, 1.1 * max(max(row[1:]) for row in rows))
    axes.legend()
    figure.savefig(output.with_suffix(".png"), dpi=120)


def resident_of(pid: int) -> int:
    """Bytes of a process in memory now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@main.command()
@click.option("--limit", default=64, show_default=True, help="Pictures.")
def efficiency(limit: int) -> None:
    """Records per second of 1 and 2 workers from when all are ready to the end, each on a core of its own."""
    rates = {workers: records_per_second(workers, limit) for workers in (1, 2)}
    for workers, rate in rates.items():
        click.echo(f"{workers} workers: {rate:7.3f} records/s, efficiency {rate / rates[1] / workers:.3f}")


def records_per_second(workers: int, limit: int) -> float:
    """Run the quickstart with so many workers, pinned to cores."""
    import numpy as np

    from adasise_bench.records import folder as run_folder
    from adasise_bench.records.planned_keys import KeySet
    from adasise_bench.records.store import RecordStore
    from adasise_bench.run.config_file import load_config
    from adasise_bench.run.launchers.dispatcher import Dispatcher
    from adasise_bench.run.launchers.local import LocalWorkerPool
    from adasise_bench.run.plan import make_plan

    engine = ["engine.layout=contiguous", "engine.batch_size=16", "device=cpu"]
    config = load_config(CONFIG, [*engine, f"limit={limit}"])
    plan = make_plan(config)
    cores = sorted(os.sched_getaffinity(0))
    arrivals: list[tuple[float, int]] = []
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        launcher = Dispatcher(LocalWorkerPool(config, folder, ["cpu"] * workers))
        with launcher, run_folder.exclusive(folder):
            launcher.prepare({})
            store = RecordStore(folder, plan.keys)
            todo = KeySet(plan.keys, np.ones(len(plan.keys), np.bool_))
            for records in launcher.records(plan, todo, plan.dataset.digests()):
                store.append(records)
                states = launcher.workers()
                for worker in states:
                    if worker["pid"] is not None and not arrivals:
                        os.sched_setaffinity(worker["pid"], {cores[worker["number"] % len(cores)]})
                if all(worker["pid"] is not None for worker in states):
                    arrivals.append((time.perf_counter(), len(records)))
            store.close()
    first = arrivals[0][0]
    return sum(count for _, count in arrivals[1:]) / (arrivals[-1][0] - first)


@main.command()
@click.option("--pictures", default=1_200_000, show_default=True)
@click.option("--classes", default=1.0, show_default=True, help="Per picture.")
@click.option("--models", default=2, show_default=True)
@click.option("--methods", default=15, show_default=True)
@click.option("--forwards", default=4000.0, show_default=True, help="Per explanation.")
@click.option("--forwards-per-second", required=True, type=float, help="Of one device, as measured.")
@click.option(
    "--costs", "costs_file", required=True, type=click.Path(path_type=Path), help="Of `costs --output`."
)
def predict(
    pictures: int, classes: float, models: int, methods: int, forwards: float, forwards_per_second: float,
    costs_file: Path,
) -> None:  # fmt: skip
    """Days of a run on 1, 8 and 64 devices, and what the driver can keep up with."""
    found: dict[str, float] = json.loads(costs_file.read_text())
    explanations = pictures * classes * models * methods
    explain = forwards / forwards_per_second
    exposed = found["decode a picture to 224 px"] / PICTURES_PER_CHUNK / (classes * methods)
    start = pictures * (found["read an annotation"] + found["hash a picture"])
    driver = found["hand out, per record"] + found["write a record, 16 at once"]
    click.echo(
        f"{explanations:.3g} explanations; start {start:.0f} s; driver {1 / driver:.0f} records/s at most"
    )
    for devices in (1, 8, 64):
        work = explanations * max((explain + exposed) / devices, driver)
        share = explanations * explain / devices / (start + work)
        click.echo(f"{devices:3} devices: {(start + work) / 86400:9.2f} days, efficiency {share:.3f}")


if __name__ == "__main__":
    main()
