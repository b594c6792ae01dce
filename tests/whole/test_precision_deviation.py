"""scripts/precision_deviation.py: its runs, and what it says has changed between two of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from scipy.stats import rankdata
from small_runs import tiny_network

from adasise_bench.metrics.registry import METRICS
from adasise_bench.records.maps import map_path
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import Key
from adasise_bench.utils.errors import ConfigError

ROOT = Path(__file__).parents[2]
WAYS = "torch:fp32,torch:bf16"
METHODS = ["sise", "rise"]


def load() -> ModuleType:
    """scripts/precision_deviation.py as a module."""
    path = ROOT / "scripts/precision_deviation.py"
    spec = importlib.util.spec_from_file_location("precision_deviation", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


deviation = load()


@pytest.fixture
def measured(
    voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Path, Result]]:
    def measure(*arguments: str) -> tuple[Path, Result]:
        tiny_network(monkeypatch)
        output = tmp_path / "deviation"
        command = [
            "--data", str(voc_root), "--checkpoint", "resnet50=", "--methods", ",".join(METHODS),
            "--ways", WAYS, "--size", "32", "--set", "methods.rise.masks=24", "--output", str(output),
            *arguments,
        ]  # fmt: skip
        return output, CliRunner().invoke(deviation.main, command)

    return measure


def pairs_of(folder: Path, method: str) -> pd.DataFrame:
    records = read_records(folder)
    return records[records["method"] == method].set_index(["image_id", "class_name"])


def test_what_it_prints_is_what_the_two_runs_hold(measured: Callable[..., tuple[Path, Result]]) -> None:
    output, result = measured()
    assert result.exit_code == 0, result.output
    head, _, *rows = [line.strip("|").split("|") for line in result.output.splitlines() if "|" in line]
    titles = [title.strip() for title in head]
    for method, row in zip(METHODS, rows, strict=True):
        said = dict(zip(titles, (cell.strip() for cell in row), strict=True))
        exact, rounded = (pairs_of(output / way.replace(":", "-"), method) for way in WAYS.split(","))
        assert (said["way"], said["method"], said["pairs"]) == ("torch:bf16", method, str(len(exact)))
        changed = [rounded.loc[pair, "ebpg"] - exact.loc[pair, "ebpg"] for pair in exact.index]
        assert said[METRICS["ebpg"].title].startswith(f"{sum(changed) / len(changed):+.2f}")
        assert said["largest change of EBPG"] == f"{max(abs(change) for change in changed):.2f}"
        ranks, crossed = [], []
        for pair in exact.index:
            one, other = (
                np.load(map_path(output / way.replace(":", "-"), Key("resnet50", method, *pair)))
                for way in WAYS.split(",")
            )
            ranks.append(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
            crossed.append(sum(bool(a) != bool(b) for a, b in zip(one.flat, other.flat, strict=True)) / 10.24)
        assert said["rank correlation: mean"] == f"{np.mean(ranks):.4f}"
        assert said["least"] == f"{min(ranks):.4f}"
        assert said["pixels across, %"] == f"{np.mean(crossed):.3f}"
        assert said["most"] == f"{max(crossed):.2f}"
        scored_in = rounded["mask_precision"].tolist()
        assert said["masks scored in"] == ", ".join(
            f"{name} {scored_in.count(name)}" for name in ("bf16", "fp32") if name in scored_in
        )
        assert not any(np.isnan(ranks))
    assert read_records(output / "torch-bf16").query("method == 'rise'")["forwards"].tolist() == [24] * len(
        exact
    )


def test_it_goes_on_where_it_was_stopped(measured: Callable[..., tuple[Path, Result]]) -> None:
    output, _ = measured("--pictures", "1")
    first = read_records(output / "torch-fp32")
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*.npy")}
    _, result = measured("--pictures", "2")
    assert result.exit_code == 0, result.output
    assert len(read_records(output / "torch-fp32")) > len(first) > 0
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_a_pixel_crosses_where_only_one_map_has_nothing() -> None:
    one = np.array([[0, 0, 0.5, 1]], dtype=np.float32)
    assert deviation.crossing_share(one, one) == 0
    assert deviation.crossing_share(one, np.array([[0, 0.1, 0, 0.2]], dtype=np.float32)) == 50


def test_a_setting_that_does_not_exist_is_named() -> None:
    common = {"size": 32, "batch": 8, "pictures": 1}
    given = (Path("data"), [("resnet50", None)], ["sise"], "torch:fp32")
    assert deviation.configuration(*given, **common).methods[0].label == "sise"
    with pytest.raises(ConfigError, match=r"^torch:fp32: .*'mask'.*masks"):
        deviation.configuration(*given[:2], [{"name": "rise"}], given[3], ["methods.rise.mask=3"], **common)
