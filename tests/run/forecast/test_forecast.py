"""What a dry run says, and that it changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from adasise_bench.cli import main
from adasise_bench.run.config_file import load_config
from adasise_bench.run.forecast import description
from adasise_bench.run.forecast.networks import Trial
from adasise_bench.run.forecast.pictures import Pictures
from adasise_bench.run.forecast.storage import map_bytes

MAPS = (64, 256, 512, 1024, 2048)


@pytest.fixture(autouse=True)
def _fresh_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_arguments: object, **_options: object) -> None:
        raise AssertionError("downloads")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    monkeypatch.setattr("torchvision.datasets.voc.download_and_extract_archive", fetch)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose inputs take half a second."""
    trial = Trial(MAPS, 94_100_000, 0.5)
    monkeypatch.setattr(description, "try_network", lambda *_arguments: trial)


def dry(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", "--dry-run", *arguments])


@pytest.mark.usefixtures("tried")
def test_table1_is_planned_on_a_fresh_machine() -> None:
    result = dry("--config", "table1", "--models", "resnet50", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "VOC 2007 test: 4,952 pictures, 7,632 image-class pairs" in result.stdout
    assert "the pictures are not here" in result.stdout
    rows = {
        line.split()[1]: line.split() for line in result.stdout.splitlines() if line.startswith("resnet50")
    }
    perturbation = 7632 * 3200
    assert rows["extremal_perturbation"][2:] == ["7,632", f"{perturbation:,}", f"{perturbation:,}"]
    # 2841, 1636, 391, 75, 8 and 1 pictures show 1 to 6 classes, each of which keeps half of 3904 maps.
    kept = {1: 1952, 2: 2928, 3: 3416, 4: 3660, 5: 3782, 6: 3843}
    pictures = {1: 2841, 2: 1636, 3: 391, 4: 75, 5: 8, 6: 1}
    shared = sum(pictures[classes] * (1 + kept[classes]) for classes in kept)
    assert rows["sise"][2:] == ["+", "ada_sise", "15,264", f"{shared:,}", "15,264"]
    inputs = 3 * perturbation + shared + 2 * 15264 + 3 * 7632
    assert f"time: about {0.5 * inputs / 86400:.0f} days on cpu" in result.stdout
    assert "download: VOC 2007 test (as much again when unpacked), about 451 MB, into data" in result.stdout
    assert "download: weights of resnet50, about 94.1 MB, into " in result.stdout
    assert f"disk: about {1500 * 3 * 7632 / 1e6:.1f} MB of records in results/table1-" in result.stdout
    assert not list(Path.cwd().iterdir())


@pytest.mark.usefixtures("tried")
def test_coco_is_planned_before_it_is_refused() -> None:
    result = dry("--config", "coco", "--models", "resnet50", "--methods", "extremal_perturbation")
    assert result.exit_code == 3
    assert "COCO 2014 val: 40,137 pictures, 116,592 image-class pairs" in result.stdout
    assert "unpack val2014.zip and annotations_trainval2014.zip" in result.stdout
    passes = 116592 * 3200
    assert f" {passes:,} " in result.stdout
    assert "about 373 million forward passes and 373 million gradients in all" in result.stdout
    days = 0.5 * (3 * passes + 116592) / 86400
    assert f"time: about {days / 365.25:.0f} years ({days:,.0f} days) on cpu" in result.stdout
    assert "VOC" not in result.stdout
    assert result.stderr.count("\n") == 1
    assert "val2014: no such folder of pictures" in result.stderr
    part = dry("--config", "coco", "--models", "resnet50", "--methods", "sise", "--limit", "30")
    assert part.exit_code == 3
    assert "COCO 2014 val: 30 pictures, about 88 image-class pairs" in part.stdout
    assert not list(Path.cwd().iterdir())


@pytest.mark.usefixtures("tried")
def test_a_disk_that_is_too_small_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, told in ((10**12, False), (22_500, False), (22_499, True), (1, True)):  # 15 pairs
        monkeypatch.setattr(description, "free_bytes", lambda _folder, free=free: free)
        result = dry("--config", "quickstart", "--methods", "sise", "--limit", "8")
        assert (", which is too little" in result.stdout) == told
    assert "; free there: 1 byte, which is too little" in result.stdout


@pytest.mark.usefixtures("tried")
def test_what_is_there_is_not_downloaded(tmp_path: Path, voc_root: Path) -> None:
    cached = tmp_path / "hub/hub/checkpoints/resnet50_voc-9ca920d6.pth.tar"
    cached.parent.mkdir(parents=True)
    cached.touch()
    result = dry("--config", "table1", "--models", "resnet50", "--set", f"data.root={voc_root}")
    assert result.exit_code == 0, result.output
    assert "3 pictures, 4 image-class pairs" in result.stdout
    assert "download: nothing" in result.stdout


def test_a_network_that_does_not_exist_is_refused() -> None:
    result = dry("--config", "table1", "--set", "models={resnet19: {source: torchvision}}")
    assert result.exit_code == 2
    assert "torchvision has no classifier 'resnet19'; did you mean" in result.stderr
    assert not result.stdout


def test_unknown_work_is_named_and_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_method.py").write_text("def saliency(model, image, target):\n    return image[0, 0]\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = dry("--config", "quickstart", "--set", "methods=[sise, my_method:saliency]")
    assert result.exit_code == 0, result.output
    assert "because only the run can tell: saliency on scenes_vgg" in result.stdout
    assert "saliency" in result.stdout
    assert f"about {125 * 129:,} forward passes and 125 gradients in all" in result.stdout


@pytest.mark.usefixtures("tried")
def test_several_gpus_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "machine", lambda _device: ("H100", 1, "2.14"))
    monkeypatch.setattr(description, "pick_device", lambda name: torch.device(name))
    monkeypatch.setattr(description, "pictures_of", lambda *_given, **_more: Pictures("set", {"a": 4}, ()))
    config = load_config(Path("table2"))
    times: list[Any] = []
    for devices in (["cuda:0"], ["cuda:0", "cuda:1"], ["cpu", "cpu"]):
        lines = description.forecast(config, Path("out"), devices)
        times += [line.partition(". ")[0] for line in lines if line.startswith("time:")]
    inputs = 1 + int(3904 * 15 / 16) + 2 * 8 + 8
    assert times == [
        f"time: about {inputs / 2 // 60:.0f} min on cuda:0 (H100)",
        f"time: about {inputs / 4 // 60:.0f} min on 2 GPUs like cuda:0 (H100)",
        f"time: about {inputs / 2 // 60:.0f} min on cpu (H100)",
    ]


def test_saved_maps_are_counted() -> None:
    config = load_config(Path("quickstart"), ["save_maps=true"])
    assert map_bytes(config, 10) == 10 * (96 * 96 * 4 + 128)
    assert map_bytes(load_config(Path("quickstart")), 10) == 0
    result = dry("--config", "quickstart", "--save-maps", "--methods", "sise")
    assert "and 4.62 MB of maps in results/quickstart-" in result.stdout
