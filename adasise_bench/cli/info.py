"""``adasise-bench info``: what a report of a fault needs to know."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the same facts, by section and name.")
def info(as_json: bool) -> None:
    """Say what is installed here, and which devices a run could use.

    Prints the versions of the tool and of the libraries that it uses, the machine, the devices and inference
    engines, and where caches and data are. A fact that cannot be found out says so in its own line. Neither
    your name nor the path of your home folder is printed, so that the output can go into a public report.

    \b
    Examples:
      adasise-bench info
      adasise-bench info --json > info.json
    """
    from adasise_bench.run.system_info import describe_system, system_info
    from adasise_bench.utils.messages import json_text, terminal

    facts = system_info()
    click.echo(json_text(facts) if as_json else terminal(describe_system(facts)))
