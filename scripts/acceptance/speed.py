"""Steps that measure time and memory within one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import benchmark
from benchmark import Bench

from adasise_bench.models.backends import usable
from adasise_bench.models.engine import BackendName, Engine
from adasise_bench.utils.timing import watch_peak_memory

from .materials import Network, Setup
from .results import Row

ITERATIONS = 800
"""Of Extremal Perturbation, as TorchRay does them for VOC."""

_ORDER_COMPILED = ("bf16", "fp32", "fp16", "tf32")


def eager(setup: Setup) -> Iterator[Row]:
    """Seconds and efficiency of SISE and Ada-SISE in every precision."""
    yield from _efficiency(setup, setup.precisions, ("torch",))


def compiled(setup: Setup) -> Iterator[Row]:
    """The same through ``torch.compile``; what gains most and is compiled fastest comes first."""
    ways = usable("torch-compile", setup.torch_device, "fp32")
    if setup.quick:
        yield from _efficiency(setup, setup.precisions[:1], ways[:1])
    else:
        yield from _efficiency(setup, sorted(setup.precisions, key=_ORDER_COMPILED.index), ways)


def _efficiency(setup: Setup, precisions: Sequence[str], backends: Sequence[BackendName]) -> Iterator[Row]:
    """One row per precision, backend, network and method, all in order of importance."""
    rounds, spell = (1, 0.2) if setup.quick else (2, 0.7)
    for precision, backend, network in product(precisions, backends, setup.networks):

        def rows(
            network: Network = network, precision: str = precision, backend: BackendName = backend
        ) -> Iterator[Row]:
            bench = _bench(setup, network, precision, backend)
            engine = {"layout": bench.engine.layout, "batch": bench.engine.batch_size}
            for row in benchmark.efficiency(bench, rounds, spell, warm=not setup.quick):
                yield row | engine | {"tuning, s": bench.tuning}
            if bench.classifier.backend and bench.classifier.backend.failed:
                raise RuntimeError("torch.compile failed: the figures above are of the network without it")

        about = {"network": network.name, "precision": precision, "backend": backend}
        yield from attempted(about, rows)


def perturbation(setup: Setup) -> Iterator[Row]:
    """Extremal Perturbation by TorchRay, alone, and many explanations side by side."""
    rounds, iterations, most = (1, 1, 2) if setup.quick else (1, 40, 32)
    network = setup.networks[0]
    for precision in setup.precisions[: 1 if setup.quick else 2]:

        def rows(precision: str = precision) -> Iterator[Row]:
            bench = _bench(setup, network, precision)
            for row in benchmark.perturbation(bench, rounds, iterations, most):
                iterations_ms = row["ms per iteration and explanation"] * ITERATIONS
                seconds = (iterations_ms + row["ms beside the iterations"]) / 1000
                yield row | {f"seconds for {ITERATIONS} iterations": seconds}

        yield from attempted({"network": network.name, "precision": precision}, rows)


def memory(setup: Setup) -> Iterator[Row]:
    """The most memory that explanations of more and more masks hold."""
    network = setup.networks[0]
    bench = _bench(setup, network, "fp32")
    works: dict[str, tuple[str, dict[str, Any]]] = {"SISE": ("sise", {})}
    for masks in (32, 64) if setup.quick else (1000, 2000, 4000, 8000):
        works[f"RISE, {masks} masks"] = ("rise", {"masks": masks})
    for what, (method, options) in works.items():
        peak_of_gpu = watch_peak_memory(bench.classifier.device)
        forwards = bench.explain(method, **options)().forwards
        peak = peak_of_gpu()
        yield {
            "network": network.name,
            "what": what,
            "forwards": forwards,
            "batch": bench.classifier.batch_size.value,
            "peak MB": benchmark.peak() if peak is None else peak,
            "of": "the process" if peak is None else "the GPU's tensors",
        }


def peers(setup: Setup) -> Iterator[Row]:
    """Forwards per second of torchcam's Score-CAM and TorchRay's RISE beside this tool's SISE."""
    masks = 16 if setup.quick else 1024
    for network in setup.networks[:1]:
        bench = _bench(setup, network, "fp32")
        for row in benchmark.peers(bench, 1, masks):
            yield {"network": network.name} | row


def _bench(setup: Setup, network: Network, precision: str, backend: BackendName = "torch") -> Bench:
    with benchmark.quiet():
        return Bench(
            network.name,
            network.path,
            Path(network.root),
            setup.torch_device,
            precision,
            backend,
            Engine(**setup.engine) if setup.engine else None,
        )


def attempted(about: Row, rows: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """The rows with what they are about; what fails becomes a row that says so, and the step goes on."""
    try:
        for row in rows():
            yield about | row
    except Exception as error:  # a precision or a compiler that does not work costs no other row
        text = " ".join(str(error).split())[:300]
        yield about | {"error": f"{type(error).__name__}: {text}"}
