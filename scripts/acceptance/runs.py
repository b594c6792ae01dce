"""Steps that make whole runs, as a user would, and look at their records."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from precision_deviation import deviations

from adasise_bench.records.planned_keys import KeySet
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import Record
from adasise_bench.run.config_file import load_config
from adasise_bench.run.launchers.in_process import InProcess
from adasise_bench.run.plan import Plan
from adasise_bench.run.runner import run

from .materials import SCENES, Network, Setup
from .results import Row
from .speed import ITERATIONS, attempted

ROOT = Path(__file__).resolve().parents[2]
_PAIRS_OF_VOC = 7632
_SCALED_DOWN = {"areas": [0.05, 0.15], "iterations": 6, "step": 12, "sigma": 12}
_ALL_METHODS: list[Any] = [
    "sise", "ada_sise", {"name": "extremal_perturbation", **_SCALED_DOWN}, "cam", "grad_cam", "grad_cam_pp",
    "score_cam", "ablation_cam", {"name": "rise", "masks": 64}, {"name": "integrated_gradients", "steps": 10},
    "full_grad", "gradient", "lrp", {"name": "information_bottleneck", "iterations": 3, "pictures": 4},
]  # fmt: skip


def quickstart(setup: Setup) -> Iterator[Row]:
    """The quickstart's first pictures held against the baseline of a CPU by ``compare``."""
    config, pictures = ROOT / "configs/quickstart.yaml", 1 if setup.quick else 32
    folder = Path(setup.work) / "quickstart"
    started = time.perf_counter()
    engine = [f"engine.{key}={value}" for key, value in setup.engine.items()]
    run(load_config(config, [f"device={setup.device}", f"limit={pictures}", *engine]), folder)
    yield {"check": f"the run of {pictures} pictures", "verdict": f"{time.perf_counter() - started:.1f} s"}
    # Extremal Perturbation amplifies rounding (docs/performance.md): between devices only its means are held.
    command = [
        sys.executable, "-m", "adasise_bench", "compare", str(ROOT / "results/baselines/quickstart.json"),
        str(folder), "--no-speed", "--partial", "--format", "json", "--tolerance", "extremal_perturbation=5",
        "--bound", "extremal_perturbation=none",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise RuntimeError(f"compare ended with exit code {done.returncode}: {done.stderr.strip()}")
    columns = ("method", "check", "verdict", "base", "new", "difference", "largest", "detail")
    for finding in json.loads(done.stdout)["findings"]:
        if finding["verdict"] != "skipped":
            yield {column: finding[column] for column in columns}


def table1(setup: Setup) -> Iterator[Row]:
    """Pairs per second with shared forwards, and the hours that all of Table 1 would take."""
    for precision in ("fp32",) if setup.quick else ("fp32", "bf16"):
        for network in setup.networks:
            about = {"network": network.name, "precision": precision}

            def rows(network: Network = network, precision: str = precision) -> Iterator[Row]:
                yield _hours(setup, network, precision)

            yield from attempted(about, rows)


def _hours(setup: Setup, network: Network, precision: str) -> Row:
    """What a pair of picture and class costs; Extremal Perturbation is timed by the iteration."""
    few, more = (1, 4) if setup.quick else (55, 85)
    pictures = 1 if setup.quick else 8
    areas = {"areas": _SCALED_DOWN["areas"]} if network.name == SCENES.name else {}
    taken: dict[str, float] = {}
    pairs = 0
    methods: dict[str, list[Any]] = {
        "masks": ["sise", "ada_sise"],
        **{str(n): [{"name": "extremal_perturbation", "iterations": n, **areas}] for n in (3, few, more)},
    }  # the 3 iterations are not counted: the first passes pay for the choice of kernels
    for what, entries in methods.items():
        path = setup.configuration(
            f"table1-{what}", network, entries, precision=precision, share_forwards=True, limit=pictures
        )
        pairs, taken[what] = _timed_run(path, Path(setup.work) / f"table1-{network.name}-{precision}-{what}")
    masks = taken["masks"] / pairs
    optimised = (taken[str(more)] - taken[str(few)]) / (more - few) * ITERATIONS / pairs
    return {
        "pairs": pairs,
        "pairs per second, SISE and Ada-SISE": 1 / masks,
        "seconds a pair, SISE and Ada-SISE": masks,
        "seconds a pair, Extremal Perturbation": optimised,
        "hours for this network's part of Table 1": (masks + optimised) * _PAIRS_OF_VOC / 3600,
    }


class _Timed(InProcess):
    """Counts the seconds from loaded networks to the last record."""

    seconds = 0.0

    def records(self, plan: Plan, todo: KeySet, digests: Mapping[str, str]) -> Iterator[list[Record]]:
        started = time.perf_counter()
        yield from super().records(plan, todo, digests)
        self.seconds = time.perf_counter() - started


def _timed_run(path: Path, folder: Path) -> tuple[int, float]:
    """Pairs of picture and class that a run explained, and its seconds without loading and tuning."""
    config = load_config(path)
    launcher = _Timed(config, folder)
    run(config, folder, launcher=launcher)
    records = read_records(folder)
    failed = records["error"].dropna()
    if len(failed):
        raise RuntimeError(failed.iloc[0])
    return len(records) // len(config.methods), launcher.seconds


def determinism(setup: Setup) -> Iterator[Row]:
    """Two deterministic runs of every method: the same values and maps, bit for bit."""
    chosen = [SCENES] if setup.networks[0].name == SCENES.name else [SCENES, setup.networks[0]]
    for network in chosen:
        methods = _ALL_METHODS if network is SCENES else ["sise", "ada_sise"]
        path = setup.configuration(
            f"repeat-{network.name}", network, methods, deterministic=True, save_maps=True, limit=1
        )
        folders = [Path(setup.work) / f"repeat-{network.name}-{turn}" for turn in (1, 2)]
        for folder in folders:
            run(load_config(path), folder)
        yield from _repeated(network.name, *folders)


def _repeated(network: str, first: Path, second: Path) -> Iterator[Row]:
    """A row per method: whether values and maps of two runs are equal to the last bit."""
    frames = [read_records(folder) for folder in (first, second)]
    for method, one in frames[0].groupby("method", sort=False):
        other = frames[1][frames[1]["method"] == method]
        columns = [
            column for column in map(str, one.columns) if not column.startswith(("seconds", "peak_memory"))
        ]
        maps = sorted(path.relative_to(first) for path in (first / "maps").glob(f"*/{method}/*.npy"))
        yield {
            "network": network,
            "method": method,
            "pairs": len(one),
            "values equal": _values(one, columns) == _values(other, columns),
            "maps equal": bool(maps)
            and all((first / path).read_bytes() == (second / path).read_bytes() for path in maps),
            "error": next(iter(one["error"].dropna()), None),
        }


def _values(records: pd.DataFrame, columns: list[str]) -> str:
    """All values with all their digits; NaN is equal to itself here."""
    return repr(records[columns].to_dict("records"))


def precision(setup: Setup) -> Iterator[Row]:
    """What other arithmetics change on about ten pairs, against fp32 on the same device."""
    network = setup.networks[0]
    path = setup.configuration("precision", network, ["sise", "ada_sise"])
    for row in deviations(path, [], 1 if setup.quick else 6, setup.precisions[1:]):
        yield {"network": network.name} | row
