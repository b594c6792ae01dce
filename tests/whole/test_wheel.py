"""The wheel carries all that the tool needs: it runs outside of the checkout, by names alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {path.stem: path for path in (ROOT / "configs").glob("*.yaml")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel, which finds the other packages in this one's.

    The path of these is given in a ``.pth`` file, so that an editable installation of the tool there, which
    is another such file, does not count.
    """
    pytest.importorskip("hatchling")
    pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv/bin/python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    (packages,) = (folder / "venv/lib").glob("python*/site-packages")
    others = dict.fromkeys(path for path in sys.path if path.endswith("-packages"))
    others |= dict.fromkeys(sysconfig.get_paths()[kind] for kind in ("purelib", "platlib"))
    (packages / "others.pth").write_text("".join(f"{path}\n" for path in others))
    return python.parent


def ran(programs: Path, folder: Path, *command: str) -> str:
    """What a command prints that succeeds in a folder, without what points Python to the checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(programs / command[0]), *command[1:]],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_configurations_are_inside_and_there_is_one_copy(installed: Path, tmp_path: Path) -> None:
    where = "import adasise_bench, pathlib; print(pathlib.Path(adasise_bench.__file__).parent)"
    package = Path(ran(installed, tmp_path, "python", "-c", where).strip())
    assert package.is_relative_to(installed.parent)
    shipped = {path.stem: path for path in (package / "configs").iterdir()}
    assert shipped.keys() == CONFIGS.keys()
    assert all(path.read_bytes() == CONFIGS[name].read_bytes() for name, path in shipped.items())
    assert not (ROOT / "adasise_bench/configs").exists()
    lines = ran(installed, tmp_path, "adasise-bench", "validate", *CONFIGS).splitlines()
    assert [line.partition(":")[0] for line in lines] == list(CONFIGS)


def test_the_quickstart_runs_by_name_and_is_reported(installed: Path, tmp_path: Path) -> None:
    quick = ("run", "--config", "quickstart", "--limit", "1", "--methods", "ada_sise", "--output", "out")
    table = ran(installed, tmp_path, "adasise-bench", *quick)
    assert "1 of 64 images" in table
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    ran(installed, tmp_path, "adasise-bench", "report", "out")
    assert list((tmp_path / "out").glob("*.html"))


def test_the_container_copies_what_there_is_onto_a_torch_that_suffices() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line
    torch = re.search(r"^ARG PYTORCH=([\d.]+)-", text, re.MULTILINE)
    assert torch is not None
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "dependencies"
    ]
    (least,) = [line.partition(">=")[2] for line in dependencies if line.startswith("torch>=")]
    assert [int(part) for part in torch[1].split(".")] >= [int(part) for part in least.split(".")]
    assert re.search(r'^ENTRYPOINT \["adasise-bench"\]$', text, re.MULTILINE)


def test_the_readme_begins_with_the_quickstart_by_name() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = text.partition("```sh\n")[2].partition("\n```")[0]
    assert first.endswith(" && pip install '.[openvino]' && adasise-bench run --config quickstart")
