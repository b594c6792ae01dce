"""``adasise-bench ls``: what there is."""

from __future__ import annotations

import click


@click.command("ls")
def list_() -> None:
    """List methods, models and metrics, one line each."""
    from adasise_bench.methods.custom.custom import GROUP
    from adasise_bench.methods.registry import METHODS
    from adasise_bench.metrics.registry import METRICS
    from adasise_bench.models.architectures import ARCHITECTURES
    from adasise_bench.utils.messages import printable, terminal
    from adasise_bench.utils.plugins import installed

    lines = ["Methods"]
    lines += [f"  {name:22} {method.summary}" for name, method in METHODS.items()]
    lines += [
        f"  {name:22} {point.value} of the package {point.dist.name if point.dist else '?'}"
        for name, point in installed(GROUP).items()
        if name not in METHODS
    ]
    lines += ["Models"]
    lines += [f"  {name:22} {model.summary}" for name, model in ARCHITECTURES.items()]
    lines += ["Metrics"]
    lines += [
        f"  {name:22} {'↑' if metric.direction == 'up' else '↓'} {metric.unit:11} {metric.summary}"
        for name, metric in METRICS.items()
    ]
    click.echo(terminal("\n".join(map(printable, lines))))
