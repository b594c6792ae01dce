"""``adasise-bench compare``: compares a run with a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.utils.errors import BenchError, ConfigError

if TYPE_CHECKING:
    from adasise_bench.regression.baseline import Baseline

_EXIT_CODES = """\b
Exit codes:
  0  everything is within its limits
  1  something is not within its limits
  2  the two cannot be compared (what differs is named), or the command line cannot be used
  3  a baseline or run folder is missing, damaged or edited
"""


@click.command(epilog=_EXIT_CODES)
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--methods", type=COMMA_LIST, default="", help="Compare only these methods.")
@click.option("--tolerance", "tolerances", multiple=True, metavar="[WHAT=]POINTS",
              help="How much a mean may differ. Default: 0.05 points; 0.5 for maps_kept.")  # fmt: skip
@click.option("--bound", "bounds", multiple=True, metavar="[WHAT=]POINTS",
              help="How much a pair may differ. Default: 0.5 points; no limit for increase and "
              "maps_kept.")  # fmt: skip
@click.option("--exact", is_flag=True, help="The same as --tolerance 0 --bound 0.")
@click.option("--slower", type=click.FloatRange(min=0), default=10, show_default=True, metavar="PERCENT",
              help="How much slower an explanation may be, measured in plain forward passes.")  # fmt: skip
@click.option("--no-speed", is_flag=True, help="Do not compare speed.")
@click.option(
    "--partial", is_flag=True, help="Allow pairs of the baseline to be missing, as in a run with --limit."
)
@click.option(
    "--format", "fmt", type=click.Choice(["terminal", "json"]), default="terminal", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False),
              help="Also write the findings to this file, as JUnit XML.")  # fmt: skip
def compare(
    base: Path,
    new: Path,
    methods: list[str],
    tolerances: tuple[str, ...],
    bounds: tuple[str, ...],
    exact: bool,
    slower: float,
    no_speed: bool,
    partial: bool,
    fmt: str,
    as_json: bool,
    junit: Path | None,
) -> None:
    """Compare a run with a baseline. BASE and NEW are baseline files or run folders.

    Values are compared pair by pair, for the pairs that both have. A change for the better is also a change.
    Missing pairs, new errors and new degenerate maps fail.

    WHAT is a metric (ebpg, bbox, drop, increase, miou), maps_kept (how many maps more or fewer were kept,
    added up over all blocks) or the label of a method; without WHAT, the limit is general. POINTS is a
    number, or `none` for no limit. If several limits fit a value, the limit for the metric is used; without
    one, the limit for the method; without that, the general limit. Of two limits of one kind, the last
    counts.

    Speed is compared as a cost: the seconds of an explanation divided by the seconds that one input takes in
    a plain batched forward pass. That pass was timed in the same run, just before each picture, so that a
    slower machine is not a regression. The median over the pairs, of the new cost divided by the old one,
    must be within --slower.

    \b
    Examples:
      adasise-bench compare results/baselines/regression.json results/regression-1a2b3c4d --junit junit.xml
      adasise-bench compare results/before results/after --exact --no-speed
      adasise-bench compare base.json new.json --tolerance drop=.2 --tolerance extremal_perturbation=3 \\
          --bound extremal_perturbation=none
    """
    from adasise_bench.metrics.registry import QUALITY
    from adasise_bench.regression import comparison, output
    from adasise_bench.regression.baseline import refuse_incomparable, why_untimed
    from adasise_bench.regression.values import MAPS
    from adasise_bench.utils.files import write_text_atomically

    before, now = (_opened(path, methods) for path in (base, new))
    refuse_incomparable(before, now)
    known = {*QUALITY, MAPS, *before.identity["methods"]}
    zero = [(what, 0.0) for what in ("", *QUALITY, MAPS)] if exact else []
    limits = comparison.Limits(
        [*comparison.TOLERANCES, *zero, *_rules("--tolerance", tolerances, known)],
        [*comparison.BOUNDS, *zero, *_rules("--bound", bounds, known)],
        slower,
        "--no-speed" if no_speed else why_untimed(before, now),
        partial,
        before.planned_pairs,
    )
    for side, path, read in (("base", base, before), ("new", new, now)):
        if read.unfinished:
            click.echo(f"{side}: {path} is {read.unfinished}", err=True)
    found = comparison.compare(before.values, now.values, limits)
    if junit:
        write_text_atomically(junit, output.as_junit(found))
    write = output.as_json if as_json or fmt == "json" else output.as_text
    click.echo(write(found, before.made_by, now.made_by), nl=False)
    if not output.is_passed(found):
        raise BenchError(output.summary(found))
    click.echo(output.summary(found), err=True)


def _opened(path: Path, methods: list[str]) -> Baseline:
    """The baseline at a path, with only these methods."""
    from adasise_bench.regression.baseline_file import open_baseline

    try:
        return open_baseline(path).only(methods)
    except ConfigError as error:
        raise ConfigError(f"--methods: {path}: {error}") from None


def _rules(option: str, given: tuple[str, ...], known: set[str]) -> list[tuple[str, float | None]]:
    """The limits of an option, each given as ``[WHAT=]POINTS``."""
    from adasise_bench.utils.settings import suggest

    rules = []
    for text in given:
        what, _, points = text.rpartition("=")
        if what and what not in known:
            raise ConfigError(f"{option} {text}: no metric or method {what!r}{suggest(what, sorted(known))}")
        try:
            limit = None if points == "none" else float(points)
        except ValueError:
            limit = -1.0
        if limit is not None and not 0 <= limit < float("inf"):
            raise ConfigError(f"{option} {text}: POINTS must be a number of at least 0, or `none`")
        rules.append((what, limit))
    return rules
