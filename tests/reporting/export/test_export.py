"""Exported results: the numbers are those of the records and tables, in the formats that others published."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import socket
import sqlite3
import sys
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.repocard_data import EvalResult
from markdown_it import MarkdownIt

from adasise_bench.cli import main
from adasise_bench.metrics.registry import METRICS
from adasise_bench.records import load_run
from adasise_bench.records.reading import read_records
from adasise_bench.reporting.export import every_eval_ever, tracker
from adasise_bench.reporting.export.card import card
from adasise_bench.reporting.export.files import write_files
from adasise_bench.reporting.export.scores import NetworkResults, results_of
from adasise_bench.utils.errors import OutputError

GOLDEN = Path(__file__).parents[2] / "golden/run_folder"
SCHEMA = json.loads(Path(__file__).with_name("every_eval_ever-0.3.0.schema.json").read_text())
METHODS = ("sise", "ada_sise", "extremal_perturbation")


@pytest.fixture
def results() -> NetworkResults:
    (found,) = results_of([load_run(GOLDEN)])
    return found


@pytest.fixture(scope="module")
def means() -> dict[tuple[str, str], float]:
    """Plain means of the records' columns, by method and metric."""
    groups = read_records(GOLDEN).groupby("method")
    return {
        (str(method), name): float(group[name].mean())
        for method, group in groups
        for name in ("ebpg", "bbox", "drop", "increase", "miou", "seconds")
    }


def export(folder: Path, fmt: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["export", str(folder), "--to", fmt, *arguments])


def test_there_is_a_score_for_every_number_of_table_1(
    results: NetworkResults, means: dict[tuple[str, str], float]
) -> None:
    scores = {(score.method, score.name): score.value for score in results.scores}
    assert set(scores) == set(means)
    for key, value in means.items():
        assert scores[key] == pytest.approx(value, rel=1e-12), key
    printed = CliRunner().invoke(main, ["table", str(GOLDEN), "--format", "csv"]).stdout
    cells = pd.read_csv(io.StringIO(printed)).query("table == 'table1'").set_index(["method", "metric"])
    for score in results.scores:
        cell = cells.loc[(score.method, score.name)]
        assert (score.low, score.high) == (cell["low"], cell["high"])
        assert (score.pairs, score.images) == (cell["n"], cell["images"])


def test_options_and_definitions_are_those_of_the_run(results: NetworkResults) -> None:
    assert results.definition("ebpg") == "ebpg-box-union-v1"
    assert results.definition("ada_sise") == "ada-sise-v1"
    assert results.definition("none") == ""
    assert results.options("extremal_perturbation")["iterations"] == 30
    assert results.options("sise") == {}


def test_model_hubs_read_the_card(
    tmp_path: Path, means: dict[tuple[str, str], float], results: NetworkResults
) -> None:
    done = export(GOLDEN, "card", "--output", str(tmp_path))
    assert done.exit_code == 0, done.output
    path = tmp_path / "scenes_vgg.md"
    assert done.stdout == f"{path}\n"
    data = ModelCard.load(path).data
    assert isinstance(data, ModelCardData)
    assert data.library_name == "adasise-bench"
    assert data.model_name == "scenes_vgg"
    found: list[EvalResult] = data.eval_results or []
    assert {(entry.metric_config, entry.metric_type): entry.metric_value for entry in found} == {
        (score.method, score.name): score.value for score in results.scores
    }
    assert len(found) == len(means)
    for entry in found:
        assert entry.dataset_name == "drawn scenes"
        assert entry.dataset_type == "drawn-scenes"
        assert entry.dataset_args is not None
        assert entry.dataset_args["pairs"] == 25
        assert entry.metric_args is not None
        assert entry.metric_args["definition"] == results.definition(entry.metric_type)
    head = path.read_text(encoding="utf-8").split("---\n")[1]
    assert "&id" not in head
    # What the library itself would write of these results is the same head.
    assert yaml.safe_load(data.to_yaml())["model-index"] == yaml.safe_load(head)["model-index"]


def test_the_card_shows_tables_and_provenance(results: NetworkResults) -> None:
    body = card(results).split("---\n", 2)[2]
    for text in (
        "# Saliency maps of",
        "| Ada-SISE",
        "EBPG, %",
        "not the published model",
        "bold: best measured value",
    ):
        assert text.lower() in body.lower(), text


def test_a_reader_of_the_card_sees_text_and_tables_without_signs_of_markdown(
    results: NetworkResults,
) -> None:
    body = card(results).split("---\n", 2)[2]
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    texts = [child.content for token in tokens for child in token.children or () if child.type == "text"]
    assert texts
    assert not re.findall(r"[`\\*|]", "\n".join(texts))
    assert not [child for token in tokens for child in token.children or () if child.type == "html_inline"]
    headings = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]
    assert len(headings) == 3 + len(results.tables.tables)
    assert sum(token.type == "table_open" for token in tokens) == len(results.tables.tables)


def test_the_card_names_the_weights_of_its_own_network_only(results: NetworkResults) -> None:
    run = results.runs[0]
    models = run.environment["models"] | {"vgg16": run.environment["models"]["scenes_vgg"]}
    both = replace(results, runs=(replace(run, environment=run.environment | {"models": models}),))
    text = card(both).replace("\\", "")
    assert "- scenes_vgg: not the published weights" in text
    assert "- VGG16: " not in text
    assert "ada-sise-v1" in text
    for name in ("pointing-torchray15-v1", "score-cam-v1"):  # recorded, or known to the run, but not shown
        assert name in run.environment["definitions"].values()
        assert name not in text


def test_a_run_of_a_few_pictures_does_not_name_the_data_of_all(results: NetworkResults) -> None:
    """As in `export RUNTIME TABLE1`: the first run may have timed only some of the pairs."""
    run = results.runs[0]
    few = replace(
        run, environment=run.environment | {"data": run.environment["data"] | {"images": 3, "pairs": 6}}
    )
    for runs in ((few, run), (run, few)):
        joined = replace(results, runs=runs)
        args = yaml.safe_load(card(joined).split("---\n")[1])["model-index"][0]["results"][0]["dataset"][
            "args"
        ]
        assert (args["images"], args["pairs"]) == (14, 25)
        source = every_eval_ever.log(joined, "me", 0)["evaluation_results"][0]["source_data"]
        assert source["additional_details"]["pairs"] == "25"
        assert tracker._settings(joined, "sise")["images"] == 14


def test_names_from_a_hostile_folder_stay_text(results: NetworkResults) -> None:
    """A label can hold no such letters, but what a foreign file says of the data can."""
    run = results.runs[0]
    data = run.environment["data"] | {"name": "x: [y]\n---\n# <b>z</b>"}
    hostile = replace(results, runs=(replace(run, environment=run.environment | {"data": data}),))
    text = card(hostile)
    head, body = text.split("---\n", 2)[1:]
    assert yaml.safe_load(head)["model-index"][0]["results"][0]["dataset"]["name"] == "x: [y] --- # <b>z</b>"
    assert "<b>" not in body
    log = every_eval_ever.log(hostile, "me\nyou", 0)
    assert log["source_metadata"]["source_organization_name"] == "me you"


def test_a_log_is_valid_by_the_published_schema(
    tmp_path: Path, means: dict[tuple[str, str], float], results: NetworkResults
) -> None:
    done = export(GOLDEN, "every-eval-ever", "--output", str(tmp_path), "--organization", "My lab")
    assert done.exit_code == 0, done.output
    (path,) = tmp_path.rglob("*.json")
    assert done.stdout == f"{path}\n"
    assert path.relative_to(tmp_path).parts[:4] == ("data", "adasise-bench", "unknown", "scenes_vgg")
    log = json.loads(path.read_text())
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(log)
    assert log["schema_version"] == SCHEMA["version"] == every_eval_ever.SCHEMA_VERSION
    assert log["source_metadata"]["source_organization_name"] == "My lab"
    written = {
        tuple(result["evaluation_result_id"].split(".")): result["score_details"]["score"]
        for result in log["evaluation_results"]
    }
    assert written == {(score.method, score.name): score.value for score in results.scores}
    for result in log["evaluation_results"]:
        metric = METRICS[result["metric_config"]["metric_kind"]]
        assert result["metric_config"]["lower_is_better"] == (metric.direction == "down")
        assert result["metric_config"]["min_score"] <= result["score_details"]["score"]
        highest = result["metric_config"]["max_score"]
        assert highest == ("Infinity" if math.isinf(metric.range.high) else metric.range.high)
        interval = result["score_details"]["uncertainty"]["confidence_interval"]
        assert interval["lower"] <= result["score_details"]["score"] <= interval["upper"]
    again = export(GOLDEN, "every-eval-ever", "--output", str(tmp_path), "--organization", "My lab")
    assert again.stdout == done.stdout  # the same results have one file


def test_the_schema_refuses_a_log_that_lacks_what_it_asks_for(results: NetworkResults) -> None:
    log = every_eval_ever.log(results, "me", 0)
    for path in (("model_info", "id"), ("eval_library", "version"), ("source_metadata", "source_type")):
        broken = json.loads(json.dumps(log))
        del broken[path[0]][path[1]]
        assert not jsonschema.Draft7Validator(SCHEMA).is_valid(broken), path
    broken = json.loads(json.dumps(log))
    del broken["evaluation_results"][0]["metric_config"]["max_score"]
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(broken)


@pytest.mark.parametrize("name", ["VOC 2007 test", "COCO 2014 val", "COCO 2014 val, masks"])
def test_a_public_data_set_is_named_with_its_source(results: NetworkResults, name: str) -> None:
    run = results.runs[0]
    data = run.environment["data"] | {"name": name}
    weights = {"scenes_vgg": run.environment["models"]["scenes_vgg"] | {"published": True}}
    public = replace(run, environment=run.environment | {"data": data, "models": weights})
    log = every_eval_ever.log(replace(results, runs=(public,)), "me", 7)
    jsonschema.Draft7Validator(SCHEMA).validate(log)
    assert log["evaluation_results"][0]["source_data"]["source_type"] == "url"
    assert log["model_info"]["id"] == "TorchRay/scenes_vgg"
    assert log["evaluation_id"] == "adasise-bench/TorchRay/scenes_vgg/7"


@pytest.mark.parametrize(
    "name", ["data", "Data", "con", "con.v1", "LPT1", "a.", "a ", "x/y", "..", "net:1", "é"]
)
def test_the_data_store_takes_every_networks_folder(
    results: NetworkResults, tmp_path: Path, name: str
) -> None:
    """Its rules: five parts, none of them ``data`` but the first, and all of them possible on Windows."""
    run = results.runs[0]
    models = {name: run.environment["models"]["scenes_vgg"]}
    named = replace(run, environment=run.environment | {"models": models})
    network = replace(results, model=name, runs=(named,))
    file = every_eval_ever.log_file(network, tmp_path, "me")
    parts = file.path.relative_to(tmp_path).parts
    assert (len(parts), parts[0]) == (5, "data")
    for part in parts[1:4]:
        assert part.lower() != "data"
        assert not set(part) & set('<>:"\\|?*/')
        assert not part.endswith((".", " "))
        assert not re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", part, re.IGNORECASE)
    assert json.loads(file.text)["model_info"]["id"] == f"unknown/{name}"


def test_a_tracker_gets_a_run_for_each_method(
    results: NetworkResults, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[str, Any]] = []
    module = SimpleNamespace(
        init=lambda **told: (
            calls.append(("init", told))
            or SimpleNamespace(log=lambda values, step: calls.append(("log", values)))
        ),
        finish=lambda: calls.append(("finish", None)),
    )
    monkeypatch.setitem(sys.modules, "trackio", module)  # type: ignore[arg-type]
    monkeypatch.setenv("TRACKIO_DIR", "elsewhere")
    monkeypatch.setenv("TRACKIO_SPACE_ID", "somebody/space")
    names = list(tracker.log_runs(results, "my run.1", tmp_path))
    assert names == [f"my-run-1: {method} on scenes_vgg" for method in sorted(METHODS)]
    assert [name for name, _ in calls] == ["init", "log", "finish"] * 3
    assert "space_id" not in calls[0][1]
    logged = calls[1][1]
    expected = {score.name: score for score in results.scores if score.method == "ada_sise"}
    assert logged["ebpg"] == expected["ebpg"].value
    assert logged["ebpg_low"] == expected["ebpg"].low
    assert {name.removesuffix("_low").removesuffix("_high") for name in logged} == set(expected)


def test_what_trackio_only_warns_of_ends_the_export(
    results: NetworkResults, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It writes in a thread, warns of what it cannot write, and goes on as if all were well."""

    def warn(told: str, category: type[Warning]) -> None:
        thread = threading.Thread(target=warnings.warn, args=(told, category))
        thread.start()
        thread.join()

    told: list[tuple[str, type[Warning]]] = [("soon another way", FutureWarning), ("no GPU", UserWarning)]
    run = SimpleNamespace(log=lambda _values, step: [warn(*one) for one in told])
    module = SimpleNamespace(init=lambda **_told: run, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "trackio", module)  # type: ignore[arg-type]
    monkeypatch.setenv("TRACKIO_DIR", "elsewhere")
    assert len(list(tracker.log_runs(results, "mine", tmp_path))) == 3
    told.append(("trackio failed to flush logs: disk full. User code will continue, but", UserWarning))
    with pytest.raises(OutputError, match=r"^ada_sise on scenes_vgg: not stored: .*: disk full; choose"):
        list(tracker.log_runs(results, "mine", tmp_path))


def test_trackios_folder_cannot_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", "elsewhere")
    (tmp_path / "file").touch()
    done = export(GOLDEN, "trackio", "--output", str(tmp_path / "file/sub"))
    assert done.exit_code == 5
    assert done.stderr.count("\n") == 1
    assert "file/sub: cannot write: Not a directory; choose another --output or mend this one" in done.stderr
    assert "resume" not in done.stderr


def test_trackio_keeps_the_runs_on_this_machine(
    results: NetworkResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trackio")

    def refuse(*_arguments: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in [name for name in sys.modules if name.split(".")[0] == "trackio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    done = export(GOLDEN, "trackio", "--output", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [f"run_folder: {method} on scenes_vgg" for method in sorted(METHODS)]
    with sqlite3.connect(tmp_path / "run_folder.db") as database:
        rows = database.execute("select run_name, metrics from metrics").fetchall()
    assert sorted(name for name, _ in rows) == [f"{method} on scenes_vgg" for method in sorted(METHODS)]
    # What its dashboard and `trackio get` show comes from here.
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    assert SQLiteStorage.get_projects() == ["run_folder"]
    runs = {run.name: run for run in trackio.Api().runs("run_folder")}
    assert runs["ada_sise on scenes_vgg"].config["definition"] == "ada-sise-v1"
    for score in results.scores:
        shown = SQLiteStorage.get_metric_values("run_folder", f"{score.method} on scenes_vgg", score.name)
        assert [(entry["step"], entry["value"]) for entry in shown] == [(0, score.value)]


def test_trackio_cannot_lose_a_run_unnoticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    for name in [name for name in sys.modules if name.split(".")[0] == "trackio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    (tmp_path / "run_folder.db").write_bytes(b"no database" * 1000)
    done = export(GOLDEN, "trackio", "--output", str(tmp_path))
    assert done.exit_code == 5, done.output
    assert "ada_sise on scenes_vgg: not stored: " in done.stderr
    assert not done.stdout


def test_without_trackio_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)  # type: ignore[arg-type]
    done = export(GOLDEN, "trackio")
    assert done.exit_code == 2
    assert not done.stdout
    assert "pip install 'adasise-bench[trackio]'" in done.stderr


def test_folders_that_hold_nothing_to_export_are_refused(tmp_path: Path) -> None:
    done = export(tmp_path, "card")
    assert done.exit_code == 3
    assert "Traceback" not in done.output


def test_a_run_whose_explanations_all_failed_has_nothing_to_export(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(GOLDEN, folder)
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    keys = ("model", "method", "image_id", "class_name", "published_model", "weights")
    failed = [{key: line[key] for key in keys} | {"error": "planted"} for line in lines]
    (folder / "records.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in failed))
    for name in ("records.parquet", "manifest.json"):
        (folder / name).unlink()
    done = export(folder, "card", "--output", str(tmp_path / "out"))
    assert done.exit_code == 3, done.output
    assert "nothing to export" in done.stderr
    assert not (tmp_path / "out").exists()


def test_by_default_files_lie_in_a_folder_named_after_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert export(GOLDEN, "card").stdout == "export-run_folder/scenes_vgg.md\n"


def test_a_file_that_somebody_changed_is_replaced_only_if_asked_for(tmp_path: Path) -> None:
    for fmt in ("card", "every-eval-ever"):
        written = Path(export(GOLDEN, fmt, "--output", str(tmp_path)).stdout.strip())
        made = written.read_text()
        kept = written.stat().st_ino
        again = export(GOLDEN, fmt, "--output", str(tmp_path))
        assert (again.exit_code, again.stdout) == (0, f"{written}\n")
        assert written.stat().st_ino == kept  # not even written again
        changed = made.replace("third_party", "first_party").replace(
            "library_name:", "license: mit\nlibrary_name:"
        )
        assert changed != made
        written.write_text(changed)
        refused = export(GOLDEN, fmt, "--output", str(tmp_path))
        assert refused.exit_code == 5
        assert refused.stderr.count("\n") == 1
        assert f"{written}: exists" in refused.stderr
        assert "--update replaces it" in refused.stderr
        assert not refused.stdout
        assert written.read_text() == changed
        replaced = export(GOLDEN, fmt, "--output", str(tmp_path), "--update")
        assert (replaced.exit_code, replaced.stdout) == (0, f"{written}\n")
        assert written.read_text() == made or fmt == "every-eval-ever"  # a log says when it was made
        assert "first_party" not in written.read_text()


def test_a_log_made_at_another_time_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Path(export(GOLDEN, "every-eval-ever", "--output", str(tmp_path)).stdout.strip())
    made = written.read_bytes()
    later = time.time() + 1000
    monkeypatch.setattr(every_eval_ever.time, "time", lambda: later)
    assert export(GOLDEN, "every-eval-ever", "--output", str(tmp_path)).exit_code == 0
    assert written.read_bytes() == made
    other = export(GOLDEN, "every-eval-ever", "--output", str(tmp_path), "--organization", "Somebody else")
    assert other.exit_code == 5
    assert written.read_bytes() == made


def test_what_a_run_has_not_made_yet_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "part"
    shutil.copytree(GOLDEN, folder)
    lines = (folder / "records.jsonl").read_text().splitlines(keepends=True)
    (folder / "records.jsonl").write_text("".join(lines[:20]))
    for name in ("records.parquet", "manifest.json"):
        (folder / name).unlink()
    part = export(folder, "card", "--output", str(tmp_path / "out"))
    assert part.exit_code == 0
    assert part.stderr == f"{folder}: the values are those of 20 of 75 explanations; the rest is missing\n"
    assert not export(GOLDEN, "card", "--output", str(tmp_path / "whole")).stderr


@pytest.mark.parametrize(
    ("fmt", "arguments", "told"),
    [
        ("card", ["--organization", "me"], "--organization: only --to every-eval-ever records it"),
        ("trackio", ["--organization", "me"], "--organization: only --to every-eval-ever records it"),
        ("every-eval-ever", ["--organization", ""], "--organization: give a name"),
        ("every-eval-ever", ["--organization", "\x1b \u202e\n"], "--organization: give a name"),
        ("trackio", ["--update"], "--update: trackio adds runs"),
    ],
)
def test_options_without_use_are_refused(tmp_path: Path, fmt: str, arguments: list[str], told: str) -> None:
    done = export(GOLDEN, fmt, "--output", str(tmp_path / "out"), *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: {told}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ['Büro "7" / \\', "a\tb\x1b[31m", "<b>&", "\udcff x", "名前"])
def test_any_name_of_an_organization_is_valid(results: NetworkResults, tmp_path: Path, name: str) -> None:
    (path,) = write_files([every_eval_ever.log_file(results, tmp_path, name)], update=False)
    log = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(SCHEMA).validate(log)
    assert log["source_metadata"]["source_organization_name"].isprintable()
