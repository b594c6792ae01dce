"""The command line. Heavy modules are imported inside the commands, so that ``--help`` is instant."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adasise_bench import __version__
from adasise_bench.errors import BenchError, OutputError

if TYPE_CHECKING:
    from adasise_bench.config import RunConfig

FORMATS = ("terminal", "md", "latex", "csv", "json")

_EXIT_CODES = """\b
Exit codes:
  0    done
  1    done, but more explanations failed than the configuration tolerates
  2    unusable command line or configuration
  3    missing or unusable data, records or weights
  4    no such device
  5    run folder in use, not writable, full, or of another run
  130  interrupted; everything finished so far is kept
"""


class _Group(click.Group):
    """Ends on a known error with one line on stderr and the error's exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        try:
            return super().invoke(ctx)
        except BenchError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            raise
        except OSError as error:
            click.echo(f"Error: cannot write the output: {error.strerror or error}", err=True)
            ctx.exit(OutputError.exit_code)


@click.group(cls=_Group, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="adasise-bench")
def main() -> None:
    """Measure how good and how fast saliency methods are.

    Reproduces the PASCAL VOC 2007 experiments of Ada-SISE (arXiv 2102.07799).

    \b
    Examples:
      adasise-bench run --config configs/quickstart.yaml
      adasise-bench run --config configs/table1.yaml --set data.root=/data/voc --limit 100
      adasise-bench table results/table1-1a2b3c4d --format latex
    """


@main.command()
@click.option("--config", "config_path", required=True, type=click.Path(path_type=Path, dir_okay=False),
              help="YAML file; see configs/.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
              help="Override any key, e.g. data.root=/data or methods.sise.mu=0.3; null removes a model or method.")  # fmt: skip  # noqa: E501
@click.option("--models", default="", metavar="A,B", help="Keep only these models of the configuration.")
@click.option("--methods", default="", metavar="A,B", help="Keep only these methods of the configuration.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after the first N pictures.")
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False),
              help="Run folder. Default: results/NAME-DIGEST of the configuration.")  # fmt: skip
@click.option("--resume/--no-resume", default=True, show_default=True,
              help="Keep what the folder already holds, or move it aside and start anew.")  # fmt: skip
@click.option("--save-maps", is_flag=True, help="Keep every saliency map as float32 .npy.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
def run(
    config_path: Path,
    overrides: tuple[str, ...],
    models: str,
    methods: str,
    limit: int | None,
    device: str | None,
    output: Path | None,
    resume: bool,
    save_maps: bool,
    dry_run: bool,
) -> None:
    """Explain and measure; print the tables when done.

    An interrupted run continues where it stopped when the same command is given again.

    \b
    Examples:
      adasise-bench run --config configs/quickstart.yaml
      adasise-bench run --config configs/table1.yaml --models resnet50 --methods sise,ada_sise
      adasise-bench run --config configs/table1.yaml --set data.root=../shared/data \\
          --set models.resnet50.checkpoint=weights.pth.tar --set methods.extremal_perturbation=null
      adasise-bench run --config configs/table1.yaml --dry-run
    """
    from adasise_bench.config_file import load_config

    flags = {"limit": limit, "device": device, "save_maps": save_maps or None}
    settings = [f"{key}={value}" for key, value in flags.items() if value is not None]
    config = load_config(config_path, [*overrides, *settings], _names(models), _names(methods))
    if dry_run:
        from adasise_bench.plan import describe_plan, make_plan

        click.echo(describe_plan(make_plan(config, download=False)))
        return
    _run(config, output, resume)


def _run(config: RunConfig, output: Path | None, resume: bool) -> None:
    from adasise_bench.run_folder import default_folder
    from adasise_bench.runner import run as run_benchmark

    folder = output or default_folder(config)
    try:
        outcome = run_benchmark(config, folder, resume=resume)
    except KeyboardInterrupt:
        with suppress(BenchError):
            click.echo(_tables([folder], "terminal"))
        click.echo(
            f"Interrupted; {folder} keeps what is done: give the same command again to go on.", err=True
        )
        sys.exit(130)
    click.echo(_tables([folder], "terminal"))
    click.echo(f"{outcome.computed} explanations made, {outcome.reused} taken over, in {folder}", err=True)
    if outcome.errors > config.tolerated_errors:
        raise BenchError(
            f"{outcome.errors} of the explanations failed; the error column of the records says why"
        )


@main.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--format", "fmt", type=click.Choice(FORMATS), default="terminal", show_default=True)
def table(folders: tuple[Path, ...], fmt: str) -> None:
    """Print Table 1 and Table 2 from run folders, measured beside published.

    With several folders, each value comes from the first folder that has it, so that an accuracy run and
    a run-time run fill one table.

    \b
    Examples:
      adasise-bench table results/table1-1a2b3c4d
      adasise-bench table results/table1-1a2b3c4d results/runtime-5e6f7a8b --format latex > table.tex
    """
    click.echo(_tables(list(folders), fmt))


@main.command("ls")
def list_() -> None:
    """List methods, models and metrics, one line each."""
    from adasise_bench.methods import METHODS
    from adasise_bench.metrics import METRICS
    from adasise_bench.models import ARCHITECTURES

    lines = ["Methods"]
    lines += [f"  {name:22} {method.summary}" for name, method in METHODS.items()]
    lines += ["Models"]
    lines += [f"  {name:22} {model.summary}" for name, model in ARCHITECTURES.items()]
    lines += ["Metrics"]
    lines += [
        f"  {name:22} {'↑' if metric.higher_is_better else '↓'} {metric.unit}  {metric.summary}"
        for name, metric in METRICS.items()
    ]
    click.echo("\n".join(lines))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _tables(folders: list[Path], fmt: str) -> str:
    from adasise_bench.render import render
    from adasise_bench.runs import load_run
    from adasise_bench.tables import build_tables

    return render(build_tables([load_run(folder) for folder in folders]), fmt)
