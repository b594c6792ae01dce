"""Configurations that come with the tool are found by name, and paths as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from adasise_bench.run import shipped_configs as shipped
from adasise_bench.run.config_file import load_config
from adasise_bench.run.shipped_configs import find_config, shipped_configs, title_of_config
from adasise_bench.utils.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_every_file_has_a_name_and_says_what_it_is_for() -> None:
    assert shipped_configs() == {path.stem: path for path in CONFIGS.glob("*.yaml")}
    for path in shipped_configs().values():
        title = title_of_config(path)
        assert title
        assert path.read_text(encoding="utf-8").startswith(f"# {title[:40]}")


def test_the_title_is_the_first_sentence_of_the_comment(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# One thing, section 5.2:\n# on two lines. More.\nname: mine\n# other\n")
    assert title_of_config(path) == "One thing, section 5.2: on two lines"
    path.write_text("name: mine\n")
    assert title_of_config(path) == ""


def test_a_name_is_that_of_the_tool_s_unless_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = load_config(Path("table1"))
    assert named == load_config(CONFIGS / "table1.yaml")
    (tmp_path / "table1").mkdir()  # a folder is no configuration
    assert load_config(Path("table1")) == named
    (tmp_path / "table2").write_text("models: {resnet50: {}}\nmethods: [rise]\n")
    assert [method.name for method in load_config(Path("table2")).methods] == ["rise"]


@pytest.mark.parametrize("path", ["sub/table1", "table1.yaml", "/absent/table1"])
def test_a_path_stays_a_path(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(Path(path)) == Path(path)
    with pytest.raises(ConfigError, match=r"cannot read .*; `--config table1` is the one of the tool"):
        load_config(Path(path))


def test_a_misspelt_name_is_told_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"--config tabel1: neither a file .*; did you mean 'table1'\?$"):
        load_config(Path("tabel1"))


def test_an_installed_package_has_them_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/own.yaml").touch()
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path)
    assert shipped_configs() == {"own": tmp_path / "configs/own.yaml"}
