"""The command line as a user meets it: output, exit codes, interruption."""

from __future__ import annotations

import json
import os
import pickle
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from drawn_scenes import usual_signals

from adasise_bench import __version__
from adasise_bench.cli import main
from adasise_bench.methods.registry import METHODS
from adasise_bench.metrics.registry import METRICS
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.records.reading import read_records
from adasise_bench.reporting.tables.look import WIDTH
from adasise_bench.run import worker
from adasise_bench.utils import errors
from adasise_bench.utils.text_tables import terminal_width
from adasise_bench.utils.versions import package_version

QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "quickstart.yaml"
QUICK = ["run", "--config", str(QUICKSTART), "--limit", "2", "--methods", "sise,ada_sise"]


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def process(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "adasise_bench", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=usual_signals
    )


def test_help_has_examples_and_exit_codes_without_heavy_imports() -> None:
    result = call("--help")
    assert "Examples:" in result.output
    assert "130" in result.output
    for command in ("run", "table", "figure", "ls"):
        assert call(command, "--help").exit_code == 0
    heavy = ("torch", "pandas", "pydantic", "matplotlib")
    code = f"import sys, adasise_bench.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["adasise-bench", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("adasise_bench", run_name="__main__")
    assert caught.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_ls_names_everything_once() -> None:
    output = call("ls").output
    for name in (*METHODS, *ARCHITECTURES, *METRICS):
        assert sum(line.split()[:1] == [name] for line in output.splitlines()) == 1


def test_quickstart_runs_and_prints_its_tables(tmp_path: Path) -> None:
    with process(*QUICK, "--output", tmp_path / "out") as running:
        stdout, stderr = running.communicate()
    assert running.returncode == 0, stderr
    assert "Ada-SISE" in stdout
    assert "drawn scenes" in stdout
    assert "2 of 64 images" in stdout
    assert "it/s" not in stderr
    assert "record/s" not in stderr
    records = read_records(tmp_path / "out")
    assert records["error"].isna().all()
    for fmt in ("terminal", "md", "latex", "csv", "json"):
        result = call("table", tmp_path / "out", "--format", fmt)
        assert result.exit_code == 0
        assert "scenes" in result.output
    assert json.loads(call("table", tmp_path / "out", "--format", "json").output)["tables"]
    options = ("--against", "sise", "--by", "class", "--metrics", "ebpg, seconds_p90", "--format", "json")
    tables = json.loads(call("table", tmp_path / "out", *options).output)["tables"]
    assert [table["name"] for table in tables] == ["by_class", "by_class", "differences_by_class"]
    assert tables[2]["columns"] == ["ada_sise"]
    assert call("table", tmp_path / "out", "--against", "sies").exit_code == 2


def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    result = call("run", "--config", QUICKSTART, "--dry-run", "--output", tmp_path / "out")
    assert result.exit_code == 0
    assert "64 pictures" in result.output
    assert "extremal_perturbation" in result.output
    assert not (tmp_path / "out").exists()


def test_dry_run_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("run", "--config", "table1", "--dry-run", "--set", "data.download=false")
    assert result.exit_code == 3
    assert "data.download=true, as in `run --config table1 --limit 1`, fetches VOC" in result.stderr
    assert not list(tmp_path.iterdir())


def test_ls_lists_one_kind_alone_and_as_json() -> None:
    lines = call("ls", "configs").output.splitlines()
    assert [line.split()[0] for line in lines] == sorted(
        path.stem for path in QUICKSTART.parent.glob("*.yaml")
    )
    assert any(line.startswith("table1 ") and "Ada-SISE, Table 1: both networks" in line for line in lines)
    told = json.loads(call("ls", "--json").output)
    assert list(told) == ["methods", "models", "metrics", "configs"]
    assert told["metrics"]["drop"]["direction"] == "down"
    assert not told["metrics"]["drop"]["summary"].startswith(("↑", "↓"))
    assert told["methods"]["sise"]["definition"] == METHODS["sise"].definition
    assert Path(told["configs"]["quickstart"]["file"]) == QUICKSTART


def test_ls_pictures_lists_the_ids_that_a_configuration_explains() -> None:
    listed = ("ls", "pictures", "--config", "quickstart", "--set", "limit=3")
    ids = call(*listed).output.splitlines()
    assert len(ids) == 3
    assert json.loads(call(*listed, "--json").output) == {"pictures": ids}
    for mistake in (["ls", "pictures"], ["ls", "models", "--config", "quickstart"]):
        result = call(*mistake)
        assert result.exit_code == 2
        assert "give both" in result.stderr


def test_validate_names_every_configuration_that_cannot_be_used(tmp_path: Path) -> None:
    for name, text in (("typo", "modles: {resnet50: {}}"), ("absent", "models: {x: {source: torchvision}}")):
        (tmp_path / f"{name}.yaml").write_text(f"{text}\nmethods: [sise]\n")
    result = call("validate", tmp_path / "typo.yaml", "quickstart", tmp_path / "absent.yaml")
    assert result.exit_code == 2
    assert result.stdout == "quickstart: can be used; 1 model, 3 methods\n"
    errors = result.stderr.splitlines()
    assert errors[0].endswith("typo.yaml: unknown key 'modles'; did you mean 'models'?")
    assert errors[1].startswith("Error: models.x: torchvision has no classifier 'x'")
    assert len(errors) == 2
    assert call("validate", "table1", "--set", "methods.sise.mu=2").exit_code == 2


def test_schema_is_json() -> None:
    assert json.loads(call("schema").output)["required"] == ["models", "methods"]


def test_the_shell_completes_names_of_configurations_and_files() -> None:
    def completed(typed: str) -> list[str]:
        environment = {"_ADASISE_BENCH_COMPLETE": "bash_complete", "COMP_WORDS": f"adasise-bench {typed}"}
        words = environment | {"COMP_CWORD": str(len(typed.split(" ")))}
        result = CliRunner().invoke(main, prog_name="adasise-bench", env=words)
        return result.output.splitlines()

    assert completed("run --config tab") == ["plain,table1", "plain,table2"]
    assert completed("run --config ./mine") == ["file,./mine"]
    assert completed("val") == ["plain,validate"]


PRINTS = """import os
print("import, by Python")
def saliency(model, image, target):
    print("explanation, by Python")
    os.write(1, b"explanation, by compiled code\\n")
    return image[0].abs().sum(dim=0)
"""


def test_what_a_user_s_method_prints_is_not_among_the_results(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(PRINTS)
    settings = ["--limit", "1", "--set", "methods=[loud:saliency]", "--set", "engine.backend=torch"]
    done = subprocess.run(
        [sys.executable, "-m", "adasise_bench", "run", "--config", "quickstart", *settings],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(QUICKSTART.parents[1])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "EBPG" in done.stdout
    assert "by Python" not in done.stdout
    assert "by compiled code" not in done.stdout
    for told in ("import, by Python", "explanation, by Python", "explanation, by compiled code"):
        assert told in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "--config", "absent.yaml"], 2, "absent.yaml"),
        ([*QUICK, "--set", "precisoin=fp32"], 2, "did you mean 'precision'"),
        (
            [*QUICK, "--set", "data.root=/nowhere", "--set", "models={resnet50: {checkpoint: x}}"],
            3,
            "/nowhere",
        ),
        ([*QUICK, "--set", "models.scenes_vgg.checkpoint=/absent.safetensors"], 3, "/absent.safetensors"),
        ([*QUICK, "--set", "models.scenes_vgg.sha256=deadbeef"], 3, "deadbeef"),
        ([*QUICK, "--device", "cuda:77"], 4, "cuda:77"),
        ([*QUICK, "--output", "/proc/nowhere"], 5, "/proc/nowhere"),
        (["table", "/nowhere"], 3, "/nowhere"),
        (["table"], 2, "DIR"),
        (["run"], 2, "--config"),
    ],
)
def test_mistakes_end_in_one_line_and_their_exit_code(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert sum(line.startswith("Error:") for line in result.stderr.splitlines()) == 1


def test_failed_explanations_end_in_exit_code_1_unless_tolerated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adasise_bench.utils.errors import BenchError

    def fail(*_arguments: object) -> None:
        raise BenchError("planted")

    monkeypatch.setattr(worker, "explain_and_measure", fail)
    result = call(*QUICK, "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "planted" in result.stdout
    assert call(*QUICK, "--output", tmp_path / "out", "--set", "tolerated_errors=99").exit_code == 0


def test_an_interruption_of_the_start_ends_in_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("adasise_bench.run.config_file.load_config", interrupt)
    result = call(*QUICK)
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_terminal_without_arrows_still_lists(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "adasise_bench", "ls"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    assert b"ebpg" in subprocess.check_output(command, env=environment)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_under_stdout_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "adasise_bench", "ls"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 5
    assert done.stderr.startswith("Error: cannot write the output: No space left on device")
    assert "Traceback" not in done.stderr


def test_an_interruption_before_the_first_record_still_ends_in_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "_warm_up", interrupt)
    result = call(*QUICK, "--output", tmp_path / "out")
    assert result.exit_code == 130
    assert "same command again" in result.stderr


def _wait_for_records(folder: Path, running: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if (folder / "records.jsonl").exists() and (folder / "records.jsonl").stat().st_size:
            return
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    raise AssertionError("no record appeared")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_resumes_to_the_same_values(tmp_path: Path, how: signal.Signals) -> None:
    arguments = ["run", "--config", QUICKSTART, "--methods", "sise,ada_sise", "--limit", "12"]
    with process(*arguments, "--output", tmp_path / "out") as running:
        _wait_for_records(tmp_path / "out", running)
        os.kill(running.pid, how)
        stdout, stderr = running.communicate()
    if how is signal.SIGINT:
        assert running.returncode == 130, stderr
        assert "EBPG" in stdout
        assert "Traceback" not in stderr
    before = len(read_records(tmp_path / "out"))
    result = call(*arguments, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert f"{before} kept from before" in result.stderr
    whole = call(*arguments, "--output", tmp_path / "whole")
    assert whole.exit_code == 0
    resumed, undisturbed = (
        read_records(folder).pipe(lambda f: f[[c for c in f if not c.startswith("seconds")]])
        for folder in (tmp_path / "out", tmp_path / "whole")
    )
    pd.testing.assert_frame_equal(resumed, undisturbed, check_exact=True)
    assert before < len(resumed)


def test_tables_take_the_terminals_width_and_the_same_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    for terminal, columns in ((True, "137"), (True, "9"), (False, "137")):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda terminal=terminal: terminal))
        widths.append(terminal_width() or WIDTH)
    monkeypatch.undo()
    assert widths == [137, 60, 100]


def test_a_torchvision_for_another_torch_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_given: object) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("adasise_bench.run.status.read_status", crash)
    result = call("status", tmp_path)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert f"torchvision {package_version('torchvision')} do not fit together" in line
    assert line.endswith("pip install --upgrade torch torchvision")


def test_what_nobody_foresaw_ends_in_70_and_one_line_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_given: object) -> None:
        raise ZeroDivisionError("of the planet")

    monkeypatch.setattr("adasise_bench.run.status.read_status", crash)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = call("status", tmp_path)
    assert result.exit_code == 70
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: unexpected ZeroDivisionError: of the planet; please report it")
    (log,) = tmp_path.glob("adasise-bench-crash-*.log")
    assert line.endswith(f"which is in {log}")
    assert "in crash" in log.read_text()
    assert log.read_text().endswith("ZeroDivisionError: of the planet\n")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    unlogged = call("status", tmp_path)
    assert unlogged.exit_code == 70
    assert "Traceback" in unlogged.stderr
    assert unlogged.stderr.splitlines()[-1].endswith("which is in the lines above")


def test_all_exit_codes_are_listed() -> None:
    listed = {
        int(line.split()[0]) for line in call("--help").output.splitlines() if line.strip()[:1].isdigit()
    }
    own = {kind.exit_code for kind in [errors.BenchError, *errors.BenchError.__subclasses__()]}
    assert listed == own | {0, 130}


def test_a_workers_crash_reaches_the_driver_as_it_is() -> None:
    crash = pickle.loads(pickle.dumps(errors.CrashError("ValueError: x", Path("logs/worker-3.log"))))
    assert isinstance(crash, errors.CrashError)
    assert crash.exit_code == 70
    assert (
        str(crash)
        == "unexpected ValueError: x; please report it with the traceback, which is in logs/worker-3.log"
    )


@pytest.mark.parametrize(
    "module", ["regression.baseline_file", "regression.output", "reporting.tables.formats", "records"]
)
def test_what_only_reads_runs_imports_neither_torch_nor_scipy_s_statistics(module: str) -> None:
    """They take half a gigabyte and more than a second."""
    code = (
        f"import sys, adasise_bench.{module}\n"
        "print([name for name in ('torch', 'scipy.stats') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
