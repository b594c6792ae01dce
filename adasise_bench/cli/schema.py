"""``adasise-bench schema``: the JSON schema of configurations."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON schema of configurations, by which an editor completes keys and marks mistakes.

    An editor with the YAML language server uses the schema that a comment at the beginning of a configuration
    names: # yaml-language-server: $schema=adasise-bench.schema.json

    \b
    Examples:
      adasise-bench schema > adasise-bench.schema.json
    """
    from adasise_bench.run.schema import config_schema
    from adasise_bench.utils.messages import json_text

    click.echo(json_text(config_schema()))
