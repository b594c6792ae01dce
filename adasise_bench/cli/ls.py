"""``adasise-bench ls``: lists methods, networks and metrics."""

from __future__ import annotations

import click


@click.command("ls")
def list_() -> None:
    """List the methods, networks and metrics, one in each line."""
    from adasise_bench.methods.custom.custom import GROUP
    from adasise_bench.methods.registry import METHODS
    from adasise_bench.metrics.registry import METRICS
    from adasise_bench.models.architectures import ARCHITECTURES
    from adasise_bench.utils.messages import terminal
    from adasise_bench.utils.plugins import installed
    from adasise_bench.utils.text_tables import text_table

    custom = {
        name: f"{point.value} of the package {point.dist.name if point.dist else '?'}"
        for name, point in installed(GROUP).items()
        if name not in METHODS
    }
    sections = {
        "Methods": {name: method.summary for name, method in METHODS.items()} | custom,
        "Models": {name: model.summary for name, model in ARCHITECTURES.items()},
        "Metrics": {
            name: f"{'↑' if metric.direction == 'up' else '↓'} {metric.unit:12} {metric.summary}"
            for name, metric in METRICS.items()
        },
    }
    for section, entries in sections.items():
        rows = [(f"  {name}", text) for name, text in entries.items()]
        click.echo(terminal(f"{section}\n{text_table('ll', rows)}"))
