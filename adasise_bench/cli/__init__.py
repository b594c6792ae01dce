"""The command line, one module per command.

Modules that import slowly are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import traceback
from typing import Any

import click

from adasise_bench import __version__
from adasise_bench.cli.accuracy import accuracy
from adasise_bench.cli.baseline import baseline
from adasise_bench.cli.chance import chance
from adasise_bench.cli.compare import compare
from adasise_bench.cli.explain import explain
from adasise_bench.cli.export import export
from adasise_bench.cli.figure import figure
from adasise_bench.cli.info import info
from adasise_bench.cli.ls import list_
from adasise_bench.cli.measure import measure
from adasise_bench.cli.merge import merge_
from adasise_bench.cli.report import report
from adasise_bench.cli.run import run
from adasise_bench.cli.schema import schema
from adasise_bench.cli.status import status
from adasise_bench.cli.table import table
from adasise_bench.cli.validate import validate
from adasise_bench.utils.errors import BenchError, ConfigError, CrashError, OutputError
from adasise_bench.utils.idle_threads import let_idle_threads_sleep
from adasise_bench.utils.messages import terminal
from adasise_bench.utils.streams import open_closed_streams, outlive_readers

_EXIT_CODES = """\b
Exit codes:
  0    the command is done
  1    done, but more explanations failed than the configuration tolerates
  2    the command line or the configuration cannot be used
  3    data, records or weights are missing or cannot be used
  4    the device does not exist
  5    the run folder is in use, not writable, full, or belongs to another run
  70   a fault of adasise-bench itself; the last line says where its traceback is
  130  interrupted; everything finished so far is kept
"""


class _Group(click.Group):
    """Turns a known error into one line on stderr and the error's exit code.

    The work and the exit code stay the same if nobody reads what is printed.
    """

    def main(self, *args: Any, **extra: Any) -> Any:
        open_closed_streams()
        outlive_readers()
        let_idle_threads_sleep()
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        try:
            return super().invoke(ctx)
        except BenchError as error:
            click.echo(terminal(f"Error: {error}"), err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            raise
        except OSError as error:
            click.echo(f"Error: cannot write the output: {error.strerror or error}", err=True)
            ctx.exit(OutputError.exit_code)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except Exception as error:  # not a known fault of the input, so it is ours
            said = _misfit(error) or _logged(error)
            click.echo(terminal(f"Error: {said}"), err=True)
            ctx.exit(said.exit_code)


def _misfit(error: Exception) -> BenchError | None:
    """The error for a torchvision that was built for another torch, whose operators are then missing."""
    from adasise_bench.utils.versions import package_version

    if "operator torchvision::" not in str(error):
        return None
    installed = " and ".join(f"{name} {package_version(name)}" for name in ("torch", "torchvision"))
    return ConfigError(
        f"{installed} do not fit together ({error}); install a pair that does: "
        "pip install --upgrade torch torchvision"
    )


def _logged(error: Exception) -> CrashError:
    """Write the traceback of an unexpected error into a file of its own."""
    try:
        file, log = tempfile.mkstemp(".log", f"adasise-bench-crash-{os.getpid()}-")
        with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace") as lines:
            traceback.print_exception(error, file=lines)
    except OSError:
        traceback.print_exception(error)
        log = "the lines above"
    return CrashError(f"{type(error).__name__}: {error}", log)


@click.group(cls=_Group, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="adasise-bench")
def main() -> None:
    """Measure how good and how fast saliency methods are.

    Reproduces the PASCAL VOC 2007 experiments of Ada-SISE (arXiv 2102.07799).

    \b
    Examples:
      adasise-bench run --config quickstart
      adasise-bench run --config table1 --set data.root=/data/voc --limit 100
      adasise-bench status results/table1-1a2b3c4d
      adasise-bench table results/table1-1a2b3c4d --format latex
      adasise-bench figure maps results/table1-1a2b3c4d --random 4 --output maps.pdf
      adasise-bench report results/table1-1a2b3c4d
      adasise-bench explain dog.jpg --class dog
    """


for _command in (
    run,
    measure,
    status,
    merge_,
    table,
    figure,
    report,
    accuracy,
    chance,
    baseline,
    compare,
    explain,
    export,
    list_,
    validate,
    schema,
    info,
):
    main.add_command(_command)
