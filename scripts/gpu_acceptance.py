"""Answer on a GPU, in a few minutes, what only a GPU can answer: values, speed, memory, repeatability.

Called by scripts/gpu_acceptance.sh, which first installs what the machine lacks. Every step runs in a process
of its own until its time is up, the most valuable first, and what it finds is written at once:
OUTPUT/CARD.json, and from it CARD.md. A step may use what those before it left of their time.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from acceptance.materials import SCENES, Network, Setup, networks
from acceptance.results import Results, Row, statuses

from adasise_bench.records import environment
from adasise_bench.run.network import definitions
from adasise_bench.utils.devices import machine, pick_device
from adasise_bench.utils.errors import BenchError, ConfigError

ROOT = Path(__file__).resolve().parents[1]
_MESSAGE = 500


class Step(NamedTuple):
    """Part of the acceptance.

    Attributes:
        name: how it is called in the results.
        title: one line about it.
        function: ``module:function`` in the package ``acceptance``; makes the rows of its table.
        seconds: how long it may take of seven minutes.
    """

    name: str
    title: str
    function: str
    seconds: float


STEPS = (
    Step("environment", "Card, driver and versions", "checks:environment", 25),
    Step("quickstart", "The quickstart against the CPU's baseline", "runs:quickstart", 45),
    Step("speed", "Efficiency and seconds of SISE and Ada-SISE", "speed:eager", 80),
    Step("perturbation", "Extremal Perturbation alone and side by side", "speed:perturbation", 50),
    Step("table1", "Pairs per second, and hours of Table 1 in full", "runs:table1", 60),
    Step("gpu_tests", "pytest -m gpu", "checks:gpu_tests", 40),
    Step("determinism", "Two deterministic runs, bit for bit", "runs:determinism", 25),
    Step("precision", "What precisions change against fp32", "runs:precision", 25),
    Step("memory", "Peak memory against the number of masks", "speed:memory", 15),
    Step("peers", "Score-CAM of torchcam and RISE of TorchRay", "speed:peers", 15),
    Step("compiled", "Efficiency and seconds through torch.compile", "speed:compiled", 30),
)
_MINUTES = 7.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all steps, or one that the results' file names; returns the exit code."""
    given = _parser().parse_args(arguments)
    if given.step:
        return make_rows(given.step, Results(given.results))
    try:
        return accept(given)
    except BenchError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="folder that holds VOCdevkit; default: the drawn scenes only"
    )
    parser.add_argument("--resnet50", type=Path, help="checkpoint in TorchRay's format")
    parser.add_argument("--vgg16", type=Path, help="checkpoint in TorchRay's format; default: random weights")
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:N or cpu")
    parser.add_argument("--quick", action="store_true", help="a little of every step, to see that it works")
    parser.add_argument("--steps", default=",".join(step.name for step in STEPS), help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=_MINUTES, help="in which all ends; default: 7")
    parser.add_argument("--started", type=float, default=time.time(), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="folder of the results; default: results/gpu")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    return parser


def accept(given: argparse.Namespace) -> int:
    """Run the steps; 0 if all were done, 1 if one failed, found a fault, or was not reached.

    Raises:
        BenchError: no such device, folder, checkpoint or step.
    """
    device = pick_device(given.device)
    output = _output(given.output, device)
    chosen = _chosen(given.steps)
    for path in (given.data, given.resnet50, given.vgg16):
        if path and not path.exists():
            raise ConfigError(f"{path}: there is no such file or folder")
    with tempfile.TemporaryDirectory(prefix="acceptance-") as work:
        os.environ["XDG_CACHE_HOME"] = f"{work}/cache"
        used = (SCENES,) if given.quick else _networks(given, Path(work))
        setup = Setup(given.device, given.quick, used, work)
        results = Results(output / f"{_slug(_card(device))}.json")
        results.create(_facts(setup, device), {step.name: step.title for step in chosen})
        print(f"Results: {results.path}", flush=True)
        end = given.started
        for step in chosen:
            end += step.seconds * given.minutes / _MINUTES
            run_step(step.name, results, end - time.time(), Path(work))
            write_page(results)
    return int(any(status != "done" for status in statuses(results.read())))


def _networks(given: argparse.Namespace, work: Path) -> tuple[Network, ...]:
    data, resnet50, vgg16 = (path and path.resolve() for path in (given.data, given.resnet50, given.vgg16))
    return networks(data, resnet50, vgg16, work)


def _output(given: Path | None, device: torch.device) -> Path:
    if given is None and device.type == "cpu":
        raise ConfigError("--device cpu: name a folder by --output; results/gpu is for GPUs")
    output = given or ROOT / "results/gpu"
    output.mkdir(parents=True, exist_ok=True)
    return output


def _chosen(listed: str) -> list[Step]:
    names = listed.split(",")
    unknown = [name for name in names if name not in [step.name for step in STEPS]]
    if unknown:
        raise ConfigError(
            f"--steps: no step {unknown[0]!r}; there are {', '.join(step.name for step in STEPS)}"
        )
    return [step for step in STEPS if step.name in names]


def _card(device: torch.device) -> str:
    return machine(device)[0]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _facts(setup: Setup, device: torch.device) -> dict[str, Any]:
    described = environment.describe(device, "fp32", definitions())
    return {
        "card": described["device_name"],
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": described["tool"]["commit"],
        "torch": described["torch"],
        "setup": asdict(setup),
    }


def run_step(name: str, results: Results, seconds: float, work: Path) -> None:
    """Run one step in a process of its own, and write how it ended.

    Args:
        name: the step.
        results: gets its rows and its status.
        seconds: after which it is stopped; it is not started with less than a second.
        work: folder for what it prints.
    """
    if seconds < 1:
        return
    results.update(name, status="running", limit_s=seconds)
    started = time.time()
    log = work / f"{name}.log"
    command = [sys.executable, __file__, "--step", name, "--results", str(results.path)]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, start_new_session=True) as process,
    ):
        try:
            status = "done" if process.wait(seconds) == 0 else "failed"
        except subprocess.TimeoutExpired:
            status = "cut short"
        finally:
            _stop(process)
    if status == "done" and any(map(is_fault, results.read()["steps"][name]["rows"])):
        status = "found faults"
    message = "" if status == "done" else _last_words(log)
    results.update(name, status=status, seconds=time.time() - started, message=message)
    print(f"{name}: {status}, {time.time() - started:.1f} s", flush=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a step with everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][-_MESSAGE:] if lines else ""


def is_fault(row: Row) -> bool:
    """Whether a line tells of something that is not as it should be."""
    return bool(
        row.get("error")
        or row.get("verdict") == "failed"
        or row.get("result") in ("failure", "error")
        or any(key.endswith(" equal") and value is False for key, value in row.items())
    )


def make_rows(name: str, results: Results) -> int:
    """Do one step in this process: its rows go to the results one by one."""
    module, _, function = next(step.function for step in STEPS if step.name == name).partition(":")
    work: Callable[[Setup], Iterator[Row]] = getattr(import_module(f"acceptance.{module}"), function)
    for row in work(Setup.of(results.read()["setup"])):
        results.add(name, row)
    return 0


def write_page(results: Results) -> None:
    """Write what is known so far as Markdown beside the file of results."""
    from acceptance.page import markdown

    results.path.with_suffix(".md").write_text(markdown(results.read()))


if __name__ == "__main__":
    sys.exit(main())
