"""docs/extending.md, run as written: its files are written, its commands run, its promises looked up."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import golden_maps
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import resnet18

from adasise_bench import methods
from adasise_bench.cli import main
from adasise_bench.data.scenes import embedded_root
from adasise_bench.methods import parsing, registry
from adasise_bench.methods.registry import METHODS, MethodEntry
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.records.reading import read_records
from adasise_bench.run import network
from adasise_bench.utils import plugins

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", TEXT, re.MULTILINE))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"(?:# |<!-- )(\S+\.\w+)(?: -->)?\n")
LONGEST = 39


class Done(NamedTuple):
    """What a section's commands left behind."""

    folder: Path
    output: str

    def records(self, name: str) -> pd.DataFrame:
        return read_records(self.results(name))

    def environment(self, name: str) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = json.loads(
            (self.results(name) / "environment.json").read_text()
        )
        return found

    def results(self, name: str) -> Path:
        (found,) = (self.folder / "results").glob(f"{name}-*")
        return found


def write_files(section: str, folder: Path) -> list[str]:
    """Write the blocks that name their file, and return the others."""
    others = []
    for kind, content in BLOCK.findall(SECTIONS[section]):
        named = NAME.match(content)
        if named:
            path = folder / named.group(1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        elif kind != "sh":
            others.append(content)
    return others


def pip_installed(folder: Path) -> None:
    """What ``pip install -e .`` adds for entry points, without changing this environment."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))


@pytest.fixture
def do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Done]:
    """Write a section's files and run its commands, in an empty directory with two pictures.

    Only how fast the machine passes inputs is not measured, and pip is not called.
    """
    scene = next((embedded_root() / "VOCdevkit/VOC2007/JPEGImages").iterdir())
    shutil.copy(scene, tmp_path / "scene.jpg")
    Image.new("RGB", (160, 120), "olive").save(tmp_path / "kitchen.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(network, "tune", lambda *_, **__: Engine("contiguous", 8))
    for name in ("my_method", "my_network"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    plugins.load.cache_clear()

    def run(section: str) -> Done:
        write_files(section, tmp_path)
        commands = "".join(content for kind, content in BLOCK.findall(SECTIONS[section]) if kind == "sh")
        output = ""
        for line in commands.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(line)
            if line == "pip install -e .":
                pip_installed(tmp_path)
                monkeypatch.syspath_prepend(tmp_path)
            elif program == "adasise-bench":
                result = CliRunner().invoke(main, arguments)
                assert result.exit_code == 0, result.output
                output += result.stdout
            elif program == "python":
                runpy.run_path(*arguments)
            else:
                subprocess.run(["sh", "-c", line], check=True)
        return Done(tmp_path, output)

    return run


def test_sections_are_short_and_name_their_files() -> None:
    assert len(SECTIONS) >= 6
    for title, section in SECTIONS.items():
        assert len(section.strip().splitlines()) <= LONGEST, title
        for kind, content in BLOCK.findall(section):
            assert kind == "sh" or NAME.match(content) or content.startswith("    "), content


def test_a_function(do: Callable[[str], Done]) -> None:
    done = do("Your own method: a function")
    records = done.records("my_method")
    assert list(records["method"].unique()) == ["ada_sise", "input_times_gradient", "squared"]
    assert records["error"].isna().all()
    own = records[records["method"] != "ada_sise"]
    assert set(own["forwards"]) == set(own["backwards"]) == {1}
    assert not own["degenerate"].any()
    definitions = done.environment("my_method")["definitions"]
    assert "SHA-256 of my_method.py" in str(definitions["my_method:input_times_gradient"])
    assert "squared" in done.output


def test_an_installed_package(do: Callable[[str], Done]) -> None:
    done = do("Your own method: an installed package")
    line = r"input_times_gradient +my_method:input_times_gradient of the package my-method"
    assert re.search(line, done.output)
    assert len(list((done.folder / "explain-scene").glob("input_times_gradient_*.npy"))) == 1


def test_a_new_method(
    tmp_path: Path, tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if its file lay among the methods and its entry in the registry; the test shown is then run."""
    (entry,) = write_files("A new method in the tool", tmp_path)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path / "adasise_bench/methods")])
    monkeypatch.delitem(sys.modules, "adasise_bench.methods.occlusion", raising=False)
    added = eval("{" + entry + "}", {"MethodEntry": MethodEntry})
    for module in (registry, parsing):
        monkeypatch.setattr(module, "METHODS", {**METHODS, **added})
    runpy.run_path(str(tmp_path / "tests/methods/test_occlusion.py"))["test_occlusion"](tiny, image)
    assert re.search(r"\n  occlusion +Occlusion \(2014\)\n", CliRunner().invoke(main, ["ls"]).stdout)
    monkeypatch.setattr(golden_maps, "METHODS", registry.METHODS)
    assert golden_maps.golden_path("occlusion").name == "occlusion-v1.npy"
    assert golden_maps.golden_map("occlusion").max() > 0


def test_library_networks(do: Callable[[str], Done]) -> None:
    done = do("A torchvision or timm network")
    records = done.records("networks")
    assert list(records["model"].unique()) == ["resnet18", "mobilenet"]
    assert records["error"].isna().all()
    models = done.environment("networks")["models"]
    facts = models["resnet18"]
    assert isinstance(facts, dict)
    assert facts["weights_file"] == "resnet18.pth"
    assert facts["blocks"] == ["relu", "layer1", "layer2", "layer3", "layer4"]
    notes = CliRunner().invoke(main, ["table", str(done.results("networks")), "--notes", "all"]).stdout
    assert "feature maps are read after relu, layer1" in " ".join(notes.split())


def test_a_network_of_ones_own(do: Callable[[str], Done]) -> None:
    done = do("Your own network")
    records = done.records("my_network")
    assert records["error"].isna().all()
    blocks = records[records["method"] == "sise"].groupby("model")["maps_positive"].first().map(len)
    assert blocks.to_dict() == {"small": 3, "wide": 2}
    maps = {name: facts["maps_available"] for name, facts in done.environment("my_network")["models"].items()}  # type: ignore[index]
    assert maps == {"small": [8, 16, 16], "wide": [16, 16]}
    assert (done.folder / "explain-scene/side_by_side.png").exists()


def test_pictures_of_ones_own(do: Callable[[str], Done]) -> None:
    records = do("Your own pictures, VOC layout").records("my_data")
    assert list(zip(records["image_id"], records["class_name"], strict=True)) == [("kitchen", "bottle")]
    assert records["error"].isna().all()
    columns, rows = round(60 * 64 / 160) - round(20 * 64 / 160), round(110 * 64 / 120) - round(30 * 64 / 120)
    assert records["box_share"][0] == pytest.approx(100 * columns * rows / 64**2)


def test_own_pictures_in_coco_layout(do: Callable[[str], Done]) -> None:
    done = do("Your own pictures, COCO layout")
    records = done.records("my_coco")
    assert records["class_name"].tolist() == ["kettle", "stove"]
    assert records["error"].isna().all()
    assert records["box_share"].round(0).tolist() == [17, 19]
    assert "own set in COCO layout, kitchen.json" in " ".join(done.output.split())


REGISTRIES = {
    "A new method in the tool": ("METHODS", "methods/registry.py"),
    "A new metric in the tool": ("METRICS", "metrics/registry.py"),
    "A new network in the tool": ("ARCHITECTURES", "models/architectures.py"),
}


class Extended(NamedTuple):
    """A copy of the package to which each of these sections has added a file, a registry entry and a test."""

    folder: Path
    tests: list[str]

    def call(self, *arguments: str) -> str:
        """What ``python -m`` with these arguments prints, in the copy."""
        place = os.environ | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder, env=place, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Extended:
    folder = tmp_path_factory.mktemp("extended")
    package = folder / "adasise_bench"
    shutil.copytree(ROOT / "adasise_bench", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "configs", folder / "configs")
    for section, (name, path) in REGISTRIES.items():
        (entry,) = write_files(section, folder)
        registry_file = package / path
        before, end, after = re.split(
            rf"(?<=^{name}: )(.*?\n)(?=\}})", registry_file.read_text(), maxsplit=1, flags=re.M | re.S
        )
        registry_file.write_text(before + end + entry + after)
    save_file(resnet18(num_classes=6).state_dict(), package / "models/scenes_resnet.safetensors")
    tests = sorted(str(path.relative_to(folder)) for path in (folder / "tests").rglob("test_*.py"))
    for name in ("conftest", "table_folder", "table_runs"):  # what every test needs
        shutil.copy(ROOT / f"tests/{name}.py", folder / "tests")
    return Extended(folder, tests)


def test_one_file_one_entry_and_one_test_add_each(extended: Extended) -> None:
    assert len(extended.tests) == len(REGISTRIES)
    assert "3 passed" in extended.call("pytest", "-q", "-p", "no:cacheprovider", *extended.tests)
    listed = extended.call("adasise_bench", "ls").splitlines()
    assert {line.split()[0] for line in listed} >= {"occlusion", "hoyer", "scenes_resnet"}


def test_what_was_added_runs_and_stands_in_the_tables(extended: Extended) -> None:
    config = ROOT / "configs/quickstart.yaml"
    settings = ["models={scenes_resnet: {}}", "methods=[occlusion, sise]",
                "engine={layout: contiguous, batch_size: 8, compile: false}"]  # fmt: skip
    overrides = [part for setting in settings for part in ("--set", setting)]
    extended.call(
        "adasise_bench", "run", "--config", str(config), *overrides, "--limit", "1", "--output", "out"
    )
    records = pd.read_parquet(next((extended.folder / "out").glob("*.parquet")))
    assert set(records["model"]) == {"scenes_resnet"}
    assert set(records["method"]) == {"occlusion", "sise"}
    assert records["error"].isna().all()
    assert records["hoyer"].between(1, 99).all()
    mean = records.loc[records["method"] == "occlusion", "hoyer"].mean()
    table = extended.call("adasise_bench", "table", "out", "--metrics", "hoyer", "--format", "csv")
    (row,) = [line for line in table.splitlines() if ",occlusion,hoyer," in line]
    assert float(row.split(",")[4]) == pytest.approx(mean)
