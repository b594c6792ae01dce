"""Measure how close the engine comes to the model's own forward passes, beside what one would use instead.

Every figure is a ratio of times that were taken in turns within this one process, so that a slow spell of
the machine falls on both sides. Writes DIR/benchmark-MODEL-DEVICE.json and the same as Markdown.

    python scripts/benchmark.py --model resnet50 --checkpoint resnet50.pth.tar --root /data/voc
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from tabulate import tabulate

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.data.config import DataConfig
from adasise_bench.data.loading import open_dataset
from adasise_bench.data.scenes import draw_scene
from adasise_bench.data.transforms import to_input
from adasise_bench.methods import Explanation, Request
from adasise_bench.methods.masking import build_masks
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models import load_classifier
from adasise_bench.models.backends import CHOICES, usable
from adasise_bench.models.engine import LAYOUTS, BackendChoice, BackendName, Engine
from adasise_bench.models.tuning import tune
from adasise_bench.models.workload import Workload
from adasise_bench.records import environment
from adasise_bench.run.network import definitions
from adasise_bench.utils.devices import pick_device
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock, synchronize

_SPELL_SECONDS = 6.0
_CAPTURED = 55
"""So many iterations of Extremal Perturbation are enough for its steps to be captured as a CUDA graph."""
_MASKS = Workload((range(500, 2500),), 10_000)
"""A run that repays whatever a backend needs to be prepared."""

PARTS = ("efficiency", "backends", "perturbation", "peers", "memory", "start")


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call, the device synchronised before and after."""
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start


def in_turns(device: torch.device, rounds: int, **works: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each work after one discarded round, measured one after the other in every round."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            taken = seconds(work, device)
            if turn:
                times[name].append(taken)
    return {name: median(taken) for name, taken in times.items()}


def repeat(work: Callable[[], object], times: int) -> None:
    """Do the same work several times."""
    for _ in range(times):
        work()


class Bench:
    """One network, its engine, and a few pictures."""

    def __init__(
        self,
        model: str,
        checkpoint: Path | None,
        root: Path,
        device: torch.device,
        precision: str,
        backend: BackendName | BackendChoice = "torch",
        engine: Engine | None = None,
        size: int | None = None,
    ):
        self.classifier = load_classifier(
            model, checkpoint=checkpoint, sha256=None, blocks="pool-input", resize="stretch",
            score="softmax", precision=precision, device=device,  # type: ignore[arg-type]
        )  # fmt: skip
        dataset = open_dataset(DataConfig(root=root))
        size = size or (96 if self.classifier.name == "scenes_vgg" else 224)
        self.requests: list[tuple[torch.Tensor, int]] = []
        for image_id in list(dataset.images)[:8]:
            annotation = dataset.annotation(image_id)
            image = to_input(dataset.picture(image_id, annotation), "stretch", size).to(device)
            self.requests.append((image, self.classifier.classes.index(annotation.class_names[0])))
        self.image, self.target = self.requests[0]
        self.tuning = seconds(partial(self._tune, backend, engine), device)
        self.classifier = self.classifier.with_engine(self.engine)

    def _tune(self, backend: BackendName | BackendChoice, engine: Engine | None) -> None:
        """The given engine, else the one that a long run would choose; ``auto``: with its backend, too."""
        if backend == "auto":
            found = usable("auto", self.classifier.device, self.classifier.precision)
            names = [name for name in found if name not in CHOICES["torch-compile"]]
            self.engine = engine or tune(self.classifier, self.image, backends=names, workload=_MASKS)
        else:
            self.engine = replace(engine or tune(self.classifier, self.image), backend=backend)

    def forward(self, count: int) -> Callable[[], object]:
        """Plain forward of ``count`` inputs in the engine's layout."""
        inputs = self.image.expand(count, -1, -1, -1).contiguous(memory_format=LAYOUTS[self.engine.layout])
        return lambda: self.classifier.scores(inputs)

    def explain(self, name: str, **options: Any) -> Callable[[], Explanation]:
        """Explain the first picture with a method."""
        method = parse_method({"name": name, **options})
        clock, request = PhaseClock(self.classifier.device), Request(method, self.image, self.target)
        return lambda: method.explain(self.classifier, request, clock)


def efficiency(
    bench: Bench, rounds: int, spell_seconds: float = _SPELL_SECONDS, warm: bool = False
) -> list[dict[str, Any]]:
    """Forwards x plain batched forward time, both by the engine's backend, / time of the method.

    Every round takes the method between two spells of plain forwards, so that nothing but a warm-up of a
    few batches is thrown away: a whole explanation takes a minute or more on a CPU. On a GPU an explanation
    is short, and its first one pays for the choice of kernels: ``warm`` discards one.
    """
    device, size = bench.classifier.device, bench.classifier.batch_size.value
    batch = bench.forward(size)
    spell = max(1, round(spell_seconds / in_turns(device, 3, batch=batch)["batch"]))
    plain = partial(repeat, batch, spell)
    rows = []
    for name in ("sise", "ada_sise"):
        explain = bench.explain(name)
        explained: list[Explanation] = []
        shares, methods, plains, inside = [], [], [], []
        if warm:
            explain()
        for _ in range(rounds):
            before = seconds(plain, device)
            with timed_forwards(bench.classifier.module, device) as passes:
                taken = seconds(lambda: explained.append(explain()), device)  # noqa: B023
            inside.append(sum(passes) / taken)
            per_forward = (before + seconds(plain, device)) / (2 * spell * size)
            methods.append(taken)
            plains.append(per_forward)
            shares.append(explained[-1].forwards * per_forward / taken)
        rows.append(
            {
                "method": name,
                "backend": bench.engine.backend,
                "forwards": explained[-1].forwards,
                "seconds": median(methods),
                "plain ms per forward": 1000 * median(plains),
                "efficiency": median(shares),
                "least": min(shares),
                "most": max(shares),
            }
        )
        if device.type == "cpu" and bench.classifier.backend is None:  # its passes go through the module
            rows[-1]["of its own time in the network"] = median(inside)
    return rows


def backends(bench: Bench, rounds: int, names: Sequence[str] = ("sise", "ada_sise")) -> list[dict[str, Any]]:
    """Whole explanations by torch in fp32 against the chosen backend and precision, in turns.

    Torch has the batch size that is the fastest for it. Whole batches pass beforehand, so that preparing the
    backend does not count.
    """
    device = bench.classifier.device
    chosen = bench.classifier
    plain = replace(bench.classifier, precision="fp32", backend=None)
    torchs = tune(plain, bench.image, layout=bench.engine.layout, workload=_MASKS)
    reference = plain.with_engine(torchs)
    ways = {"torch": reference, "chosen": chosen}
    for classifier in ways.values():
        classifier.run_whole_batch(bench.image)
    rows = []
    for name in names:
        method = parse_method({"name": name})
        request = Request(method, bench.image, bench.target)
        seconds_of: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, classifier in ways.items():
                explain = partial(method.explain, classifier, request, PhaseClock(device))
                seconds_of[way].append(seconds(explain, device))
        ratios = [ours / theirs for ours, theirs in zip(*seconds_of.values(), strict=True)]
        rows.append(
            {
                "method": name,
                "seconds, torch fp32": median(seconds_of["torch"]),
                "backend": "torch"
                if chosen.backend is None or chosen.backend.failed
                else bench.engine.backend,
                "precision": chosen.precision,
                "seconds": median(seconds_of["chosen"]),
                "times as fast": median(ratios),
                "least": min(ratios),
                "most": max(ratios),
            }
        )
    return rows


@contextlib.contextmanager
def timed_forwards(module: torch.nn.Module, device: torch.device) -> Iterator[list[float]]:
    """Seconds of every forward pass in the body, on a CPU, where looking at the clock disturbs nothing."""
    passes: list[float] = []
    started = 0.0

    def start(_module: torch.nn.Module, _inputs: object) -> None:
        nonlocal started
        started = time.perf_counter()

    def stop(_module: torch.nn.Module, _inputs: object, _output: object) -> None:
        passes.append(time.perf_counter() - started)

    hooks = []
    if device.type == "cpu":
        hooks = [module.register_forward_pre_hook(start), module.register_forward_hook(stop)]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def perturbation(
    bench: Bench, rounds: int, iterations: int, most_side_by_side: int = 8
) -> list[dict[str, Any]]:
    """Time of an iteration in plain forwards of its pictures; the floor is 2.

    It is the difference between two explanations of different length, which are set up alike. Where steps
    are captured as a CUDA graph, both are long enough for that.
    """
    device = bench.classifier.device
    most = max(2, min(most_side_by_side, bench.classifier.batch_size.value // 4))
    together = f"ours, {most} side by side"

    def least(name: str) -> int:
        return _CAPTURED if device.type == "cuda" and name in ("ours, alone", together) else 1

    def explained(name: str, longer: int) -> Callable[[], object]:
        count = least(name) + longer
        implementation = "torchray" if name == "TorchRay" else "batched"
        options: dict[str, Any] = {"implementation": implementation, "iterations": count}
        if name != together:
            alone = bench.explain("extremal_perturbation", **options)
            return partial(hooked, bench.classifier.module, alone) if "kernel" in name else alone
        method = parse_method({"name": "extremal_perturbation", **options})
        requests = [Request(method, *one) for one in islice(cycle(bench.requests), most)]
        return partial(method.explain_together, bench.classifier, requests)

    names = ["TorchRay", "ours, alone", together]
    if device.type == "cuda":
        names.append("ours, alone, kernel by kernel")
    works = {f"forward of {4 * count}": bench.forward(4 * count) for count in (1, most)}
    works |= {name: explained(name, iterations) for name in names}
    works |= {f"{name}, shorter": explained(name, 0) for name in names}
    taken = in_turns(device, rounds, **works)
    rows: list[dict[str, Any]] = []
    for name in names:
        count = most if name == together else 1
        shorter = taken[f"{name}, shorter"]
        per_iteration: float = (taken[name] - shorter) / iterations
        rows.append(
            {
                "implementation": name,
                "ms per iteration and explanation": 1000 * per_iteration / count,
                "ms beside the iterations": 1000 * (shorter - least(name) * per_iteration) / count,
                "forwards per iteration": per_iteration / taken[f"forward of {4 * count}"],
                "forwards of 4 per iteration": per_iteration / count / taken["forward of 4"],
            }
        )
    for row in rows:
        row["times TorchRay"] = (
            rows[0]["ms per iteration and explanation"] / row["ms per iteration and explanation"]
        )
    return rows


def hooked(module: torch.nn.Module, work: Callable[[], object]) -> None:
    """Do some work while the network has a hook, with which its passes are not captured as CUDA graphs."""
    hook = module.register_forward_pre_hook(lambda _module, _inputs: None)
    try:
        work()
    finally:
        hook.remove()


def peers(bench: Bench, rounds: int, masks: int) -> list[dict[str, Any]]:
    """Forwards per second of what one would pick instead, on the same weights and picture."""
    from torchcam.methods import ScoreCAM
    from torchray.attribution.rise import rise

    classifier, image, size = bench.classifier, bench.image, bench.classifier.batch_size.value
    blocks = classifier.block_maps(image, [bench.target])
    maps = max((block.maps for block in blocks), key=len)[:masks]

    def one_at_a_time() -> None:
        for number in range(min(64, len(maps))):
            mask, _ = build_masks(maps[number : number + 1], (image.shape[2], image.shape[3]))
            classifier.scores(image * mask[:, None])

    def score_cam() -> None:
        with ScoreCAM(classifier.module, target_layer=classifier.blocks[-1], batch_size=size) as cam:
            with torch.no_grad():
                outputs = classifier.module(image)
            cam(bench.target, outputs)

    sise = bench.explain("sise")
    forwards: dict[str, int] = {
        "plain batched forward": size,
        "SISE, this tool": sise().forwards,
        "one mask at a time": min(64, len(maps)),
        "TorchRay RISE": masks,
        "torchcam Score-CAM": blocks[-1].maps.shape[0],
    }
    works: dict[str, Callable[[], object]] = {
        "plain batched forward": bench.forward(size),
        "SISE, this tool": sise,
        "one mask at a time": one_at_a_time,
        "TorchRay RISE": lambda: rise(
            classifier.module, image, bench.target, num_masks=masks, batch_size=size
        ),
        "torchcam Score-CAM": score_cam,
    }
    # Left alone, torch lets convolutions use TF32, which this tool's float32 does without.
    with quiet(), arithmetic(classifier.precision, classifier.device):
        taken = in_turns(classifier.device, rounds, **works)
    speeds = {name: forwards[name] / taken[name] for name in works}
    return [
        {
            "what": name,
            "forwards": forwards[name],
            "forwards per second": speed,
            "share of plain": speed / speeds["plain batched forward"],
        }
        for name, speed in speeds.items()
    ]


def memory(bench: Bench, pictures: int) -> list[dict[str, Any]]:
    """Resident memory of the process, or allocated on the GPU, after so many pictures."""
    rows = []
    network = load_classifier(
        "scenes_vgg", checkpoint=None, sha256=None, blocks="pool-input", resize="stretch",
        score="softmax", precision="fp32", device=bench.classifier.device,
    )  # fmt: skip
    small = network.with_engine(bench.engine)
    methods = [parse_method("sise"), parse_method({"name": "extremal_perturbation", "iterations": 2})]
    from PIL import Image

    for number in range(1, pictures + 1):
        scene = draw_scene(7, number)
        image = to_input(Image.fromarray(scene.pixels), "stretch", 96).to(small.device)
        target = small.classes.index(scene.boxes[0].class_name)
        for method in methods:
            method.explain(small, Request(method, image, target), PhaseClock(small.device))
        if number in (1, 10, 20, 50, 100, 150, pictures):
            rows.append({"pictures": number, "resident MB": resident() / 1e6})
    return rows


def resident() -> int:
    """Bytes of this process in memory now."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize()


def peak() -> float:
    """Largest number of megabytes this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def start(bench: Bench, checkpoint: Path | None, root: Path) -> list[dict[str, Any]]:
    """Seconds from the command to its first output or record, in a process of its own."""
    tool = [sys.executable, "-m", "adasise_bench"]
    rows = [
        {
            "what": "--help",
            "seconds": seconds(
                lambda: subprocess.run([*tool, "--help"], capture_output=True, check=True),
                torch.device("cpu"),
            ),
        }
    ]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "start.yaml"
        model: dict[str, str] = {"checkpoint": str(checkpoint)} if checkpoint else {}
        config.write_text(
            json.dumps(
                {
                    "data": {"root": str(root), "input_size": bench.image.shape[2]},
                    "models": {bench.classifier.name: model},
                    "methods": [{"name": "extremal_perturbation", "iterations": 1}],
                    "limit": 1,
                }
            )
        )
        output = Path(folder) / "out"
        command = [
            *tool,
            "run",
            "--config",
            str(config),
            "--output",
            str(output),
            "--device",
            bench.classifier.device.type,
        ]
        begin = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            records = output / "records.jsonl"
            while not (records.exists() and records.stat().st_size) and process.poll() is None:
                time.sleep(0.01)
            rows.append({"what": "run, to the first record", "seconds": time.perf_counter() - begin})
    return rows


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Other libraries' warnings and progress are not ours to show."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


@click.command(help=__doc__)
@click.option("--model", default="resnet50", show_default=True)
@click.option("--checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--root", required=True, type=click.Path(path_type=Path), help="As data.root.")
@click.option("--size", type=int, help="Pixels of the input's side; 224, or 96 for scenes_vgg.")
@click.option("--device", default="auto", show_default=True)
@click.option("--precision", default="fp32", show_default=True)
@click.option("--backend", default="auto", show_default=True, type=click.Choice(sorted(CHOICES)),
              help="What passes batches; auto: the fastest for a long run.")  # fmt: skip
@click.option("--methods", type=COMMA_LIST, default="sise,ada_sise", show_default=True,
              help="Methods of the part `backends`.")  # fmt: skip
@click.option("--parts", type=COMMA_LIST, default=",".join(PARTS), show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Rounds whose median counts.")
@click.option("--iterations", default=10, show_default=True, help="Iterations of Extremal Perturbation.")
@click.option("--masks", default=256, show_default=True, help="Masks of RISE.")
@click.option("--pictures", default=200, show_default=True, help="Pictures of the memory curve.")
@click.option("--output", default="results/benchmark", type=click.Path(path_type=Path), show_default=True)
def main(
    model: str, checkpoint: Path | None, root: Path, size: int | None, device: str, precision: str,
    backend: BackendChoice, methods: list[str], parts: list[str], rounds: int, iterations: int,
    masks: int, pictures: int, output: Path,
) -> None:  # fmt: skip
    """Run the parts and write the results."""
    chosen = pick_device(device)
    with quiet():
        bench = Bench(model, checkpoint, root, chosen, precision, backend, size=size)
    result: dict[str, Any] = {
        "environment": environment.describe(chosen, precision, definitions()),
        "model": model,
        "input_size": bench.image.shape[-1],
        "weights_sha256": bench.classifier.weights.sha256,
        "published_model": bench.classifier.weights.published,
        "engine": asdict(bench.engine),
        "tuning_seconds": bench.tuning,
        "rounds": rounds,
    }
    tables: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "efficiency": lambda: efficiency(bench, rounds),
        "backends": lambda: backends(bench, rounds, methods),
        "perturbation": lambda: perturbation(bench, rounds, iterations),
        "peers": lambda: peers(bench, rounds, masks),
        "memory": lambda: memory(bench, pictures),
        "start": lambda: start(bench, checkpoint, root),
    }
    for part in parts:
        result[part] = tables[part]()
        result[f"peak_mb_after_{part}"] = peak()
        print(part, json.dumps(result[part], indent=1), file=sys.stderr)
    output.mkdir(parents=True, exist_ok=True)
    stem = output / f"benchmark-{model}-{chosen.type}-{precision}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    text = markdown(result, parts)
    stem.with_suffix(".md").write_text(text)
    print(text)


def markdown(result: dict[str, Any], parts: list[str]) -> str:
    """The result as tables."""
    facts, engine = result["environment"], result["engine"]
    origin = "TorchRay's weights" if result["published_model"] else "stand-in weights"
    lines = [
        f"# {result['model']} ({origin} {result['weights_sha256'][:12]}) on {facts['device_name']}",
        "",
        f"{facts['precision']}, {facts['threads']} threads, torch {facts['torch']}, adasise-bench "
        f"{facts['tool']['version']} ({facts['tool']['commit']}), {engine['backend']}, "
        f"{engine['layout']}, batch {engine['batch_size']} (found in {result['tuning_seconds']:.1f} s), "
        f"{result['input_size']} px; medians of {result['rounds']} rounds.",
    ]
    for part in parts:
        lines += [
            "",
            f"## {part}",
            "",
            tabulate(result[part], headers="keys", tablefmt="github", floatfmt=".4g"),
        ]
        lines += ["", f"Peak resident memory so far: {result[f'peak_mb_after_{part}']:.0f} MB."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
