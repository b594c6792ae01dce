"""How far a run is, told from its folder alone: the run may be running elsewhere, finished or dead."""

from __future__ import annotations

import fcntl
import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from adasise_bench.records.description import read_config, read_environment
from adasise_bench.records.folder_names import (
    CONFIG,
    ENVIRONMENT,
    FINISHED,
    IN_FLIGHT,
    LOCK,
    LOGS,
    PROGRESS,
    no_run_folder,
)
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.files import read_text, regular, whole_lines
from adasise_bench.utils.messages import printable, terminal
from adasise_bench.utils.quantities import counted, duration, three_digits

State = Literal["running", "finished", "dead", "running or dead"]


@dataclass(frozen=True)
class Count:
    """How many records of one method on one model were made, failed, and were planned."""

    model: str
    method: str
    made: int
    failed: int
    planned: int


@dataclass(frozen=True)
class Status:
    """What a run folder says about its run.

    Attributes:
        counts: by model and method.
        last_record: when the last record was written, in seconds since 1970; ``None`` if there is none.
        session: what the process that last drove the run wrote about itself: ``host``, ``pid``, ``workers``,
            ``samples`` of (seconds by a monotonic clock, records made), and when these were ``written``, in
            seconds since 1970; empty if it wrote nothing.
    """

    folder: Path
    state: State
    counts: list[Count]
    last_record: float | None
    session: dict[str, Any]

    @property
    def left(self) -> int:
        """Records that are still to be made; those that failed are tried again by another start only."""
        return sum(max(0, count.planned - count.made - count.failed) for count in self.counts)

    def records_per_second(self, now: float) -> float | None:
        """Records per second over the last minutes, if the run is running."""
        samples = self.session.get("samples", [])
        if self.state != "running" or not samples or samples[-1][1] == samples[0][1]:
            return None
        seconds: float = samples[-1][0] - samples[0][0] + max(0.0, now - self.session["written"])
        return float(samples[-1][1] - samples[0][1]) / max(seconds, 1e-9)


def read_status(folder: Path) -> Status:
    """Read a run folder without disturbing its run.

    Raises:
        DataError: it is not a run folder, or it is damaged.
    """
    config = _read(folder / CONFIG, read_config)
    facts = _read(folder / ENVIRONMENT, read_environment)
    records = folder / IN_FLIGHT
    try:
        labels = [str(method["label"]) for method in config["methods"]]
        made, failed = _finished(folder / FINISHED) or _counted(records)
        planned = int(facts["data"]["pairs"])
        counts = [
            Count(model, label, made[model, label], failed[model, label], planned)
            for model, label in product(map(str, config["models"]), labels)
        ]
    except OSError as error:
        raise DataError(f"{records}: cannot read the records: {error.strerror or error}") from None
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{folder}: damaged ({type(error).__name__}: {error})") from None
    last_record = _written(folder) if made or failed else None
    return Status(folder, _state(folder), counts, last_record, _session(folder))


def describe_status(status: Status, now: float) -> str:
    """The status in words.

    Args:
        status: of a run.
        now: in seconds since 1970.
    """
    from adasise_bench.utils.text_tables import ENDLESS, text_table

    texts = [printable(f"{status.folder}: {_headline(status)}")]
    if status.last_record is not None:
        texts.append(f"last record {duration(now - status.last_record)} ago")
    rows = [(count.model, count.method, count.made, count.failed, count.planned) for count in status.counts]
    texts.append(text_table("llrrr", rows, ("model", "method", "done", "errors", "of")))
    left = f"{counted(status.left, 'record')} to go"
    rate = status.records_per_second(now)
    if rate:
        about = duration(status.left / rate)
        texts.append(f"{three_digits(rate)} records/s over the last minutes; {left}, about {about}")
    elif status.state != "finished":
        texts.append(left)
    if status.state != "finished" and (workers := status.session.get("workers")):
        lines = [_worker(worker, status) for worker in workers]
        header = ("worker", "state", "made", "place", "log")
        # The path of a log stays whole, to be copied.
        texts.append(text_table("rlrll", lines, header, width=ENDLESS))
    return terminal("\n".join(texts))


def status_facts(status: Status, now: float) -> dict[str, Any]:
    """The status as plain data, ready for JSON.

    Args:
        status: of a run.
        now: in seconds since 1970.
    """
    rate = status.records_per_second(now)
    return {
        "folder": str(status.folder),
        "state": status.state,
        "counts": [asdict(count) for count in status.counts],
        "left": status.left,
        "records_per_second": rate,
        "seconds_left": status.left / rate if rate else None,
        "seconds_since_last_record": None if status.last_record is None else now - status.last_record,
        "host": status.session.get("host"),
        "pid": status.session.get("pid"),
        "workers": [] if status.state == "finished" else status.session.get("workers", []),
    }


def _worker(worker: dict[str, Any], status: Status) -> tuple[object, ...]:
    log = status.folder / LOGS / f"worker-{worker['number']}.log"
    state = worker["state"] if status.state == "running" else "gone"
    return worker["number"], state, worker["made"], worker["place"], log if log.exists() else ""


def _headline(status: Status) -> str:
    where = f" on {status.session['host']}, process {status.session['pid']}" if status.session else ""
    return {
        "running": f"running{where}",
        "finished": "finished",
        "dead": f"dead{where and ', was' + where}; give the same command again to continue it",
        "running or dead": "running or dead: its lock cannot be read",
    }[status.state]


def _read(path: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        raise no_run_folder(path.parent) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path}: damaged: {error}") from None


def _written(folder: Path) -> float | None:
    """When records were last written; in the finished file, if those in flight are lost."""
    paths = [path for path in (folder / IN_FLIGHT, folder / FINISHED) if path.exists()]
    return paths[0].stat().st_mtime if paths else None


def _finished(path: Path) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]] | None:
    """Explanations made and failed, by model and method, in a finished file; ``None`` if there is none.

    The descriptions of its groups of rows tell them, so that the time does not grow with the records.
    """
    if not path.exists():
        return None
    # Imported here, because these take half a second.
    from adasise_bench.records.reading import as_damage, parts_of
    from adasise_bench.records.row_groups import rows_by_text

    made: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    with as_damage(path):
        try:
            for part in parts_of(path):
                with regular(part, within=path.parent) as file:
                    for (model, method), rows, errors in rows_by_text(file, ["model", "method"], "error"):
                        made[model, method] += rows - errors
                        failed[model, method] += errors
        except FileNotFoundError:  # the run has been continued meanwhile
            return None
    return made, failed


def _counted(path: Path) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Explanations made and failed, by model and method; the last line of an explanation counts."""
    failed: dict[tuple[str, str, str, str | None], bool] = {}
    if path.exists():
        with regular(path, within=path.parent) as file:
            for line in whole_lines(file):
                record = json.loads(line)
                key = record["model"], record["method"], record["image_id"], record["class_name"]
                failed[key] = record["error"] is not None
    return (
        Counter(key[:2] for key, is_error in failed.items() if not is_error),
        Counter(key[:2] for key, is_error in failed.items() if is_error),
    )


def _state(folder: Path) -> State:
    """The state, told from the lock, which the driver of a run holds as long as it lives.

    A shared lock is enough to find out, and does not disturb other readers.
    """
    try:
        with regular(folder / LOCK, within=folder) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        pass
    except BlockingIOError:
        return "running"
    except OSError:
        return "finished" if (folder / FINISHED).exists() else "running or dead"
    return "finished" if (folder / FINISHED).exists() else "dead"


def _session(folder: Path) -> dict[str, Any]:
    """What the process that last drove the run wrote about itself; empty if that cannot be read."""
    try:
        tree = json.loads(read_text(folder / PROGRESS, within=folder))
        samples = [(_finite(time), int(made)) for time, made in tree["samples"]]
        return {
            "host": str(tree["host"]),
            "pid": int(tree["pid"]),
            "workers": [
                {
                    "number": int(worker["number"]),
                    "state": str(worker["state"]),
                    "made": int(worker["made"]),
                    "place": str(worker["place"]),
                }
                for worker in tree["workers"]
            ],
            "samples": samples,
            "written": _finite(tree.get("written", samples[-1][0])),
        }
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return {}


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number
