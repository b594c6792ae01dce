"""A run folder for every test of tables."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from table_runs import (
    CONFIG,
    ENVIRONMENT,
    Folder,
)

from adasise_bench.records.record import SCHEMA, Record


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes a finished run folder; ``change`` edits its configuration and environment."""

    def write(
        records: Sequence[Record],
        name: str = "run",
        change: Callable[[dict[str, Any], dict[str, Any]], object] = lambda config, environment: None,
    ) -> Path:
        config, environment = copy.deepcopy(CONFIG), copy.deepcopy(ENVIRONMENT)
        change(config, environment)
        path = tmp_path / name
        path.mkdir()
        (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        (path / "environment.json").write_text(json.dumps(environment))
        table = pa.Table.from_pylist([asdict(entry) for entry in records], schema=SCHEMA)
        pq.write_table(table, path / "records.parquet")
        return path

    return write
