"""What contributors and the issue tracker are given: it is well formed, and says what holds."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

import adasise_bench
from adasise_bench.cli import main

ROOT = Path(__file__).resolve().parents[2]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))
INPUTS = {"input", "textarea", "dropdown", "checkboxes"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def parsed(name: str | Path) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def static_checks() -> list[str]:
    """The commands of .ci/run between the installation and the tests."""
    text = (ROOT / ".ci/run").read_text()
    between = text.partition("pip install --quiet -e")[2].partition("python -m pytest")[0]
    return [line for line in between.splitlines()[1:] if line and not line.startswith("#")]


def test_a_commit_is_checked_as_ci_checks_it() -> None:
    hooks = [
        hook for repository in parsed(".pre-commit-config.yaml")["repos"] for hook in repository["hooks"]
    ]
    assert [hook["entry"] for hook in hooks] == static_checks()
    assert len(hooks) == 3
    assert {repository["repo"] for repository in parsed(".pre-commit-config.yaml")["repos"]} == {"local"}
    for hook in hooks:
        assert hook["language"] == "system"  # the versions are those of the development environment
        assert hook["pass_filenames"] is False  # all files are checked, as .ci/run does
        assert not {"files", "exclude", "types", "stages"} & hook.keys()


def test_contributing_names_commands_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    before_a_commit = text.partition("## Before a commit")[2]
    commands = before_a_commit.partition("```sh\n")[2].partition("```")[0].splitlines()
    assert [command.partition("#")[0].strip() for command in commands] == static_checks()
    for command in re.findall(r"adasise-bench (\w+)", text):
        assert command in main.commands


def test_the_citation_is_of_this_version_and_names_its_papers() -> None:
    citation = parsed("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= citation.keys()
    assert citation["title"] == PROJECT["name"]
    assert citation["license"] == PROJECT["license"]
    assert str(citation["version"]) == adasise_bench.__version__
    papers = {reference["url"]: reference for reference in citation["references"]}
    assert set(papers) == set(PROJECT["urls"].values())
    for url, paper in papers.items():
        assert paper["notes"] == f"arXiv:{url.removeprefix('https://arxiv.org/abs/')}"
        assert all({"family-names", "given-names"} == author.keys() for author in paper["authors"])
        assert paper["title"]
        assert 2019 <= paper["year"] <= 2021


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_is_well_formed_and_asks_for_info(path: Path) -> None:
    """See GitHub's "Syntax for issue forms" and "Syntax for GitHub's form schema"."""
    form = parsed(path)
    assert {"name", "description", "body"} <= form.keys() <= {"name", "description", "labels", "body"}
    fields = [element for element in form["body"] if element["type"] != "markdown"]
    assert fields
    assert {element["type"] for element in fields} <= INPUTS
    assert all(
        re.fullmatch(r"[\w-]+", element["id"]) and element["attributes"]["label"] for element in fields
    )
    assert len({element["id"] for element in fields}) == len(fields)
    assert len({element["attributes"]["label"] for element in fields}) == len(fields)
    for element in form["body"]:
        allowed = {"type", "attributes", "id", "validations"}
        assert element.keys() <= (allowed if element["type"] != "markdown" else {"type", "attributes"})
        assert ("options" in element["attributes"]) == (element["type"] in ("dropdown", "checkboxes"))
    (info,) = [element for element in fields if element["id"] == "info"]
    assert "`adasise-bench info`" in info["attributes"]["label"]
    assert "info" in main.commands


def test_a_bug_cannot_be_reported_without_info() -> None:
    assert {path.name for path in FORMS} == {"bug.yml", "method.yml"}
    required = {
        element["id"]
        for element in parsed(".github/ISSUE_TEMPLATE/bug.yml")["body"]
        if element.get("validations", {}).get("required")
    }
    assert required == {"what", "command", "output", "info"}
    assert parsed(".github/ISSUE_TEMPLATE/config.yml").keys() <= {"blank_issues_enabled", "contact_links"}


def test_the_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    """Building also checks the classifiers, of which hatchling knows the list."""
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    package = ROOT / "adasise_bench"
    files = {str(path.relative_to(ROOT)) for path in package.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} <= names
    assert {"adasise_bench/py.typed", "adasise_bench/reporting/published.yaml"} <= names
    assert "Classifier: Typing :: Typed" in metadata
