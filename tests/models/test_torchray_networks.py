"""TorchRay's networks through TorchRay's own code, with verified and never executed weights."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from coco_layout import save_caffe_resnet

from adasise_bench.data.coco import COCO_CLASSES
from adasise_bench.models import checkpoint, torchray_networks
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.loading import load_classifier
from adasise_bench.utils.errors import WeightsError


def load(arch: str, path: Path | None, **changes: Any) -> Classifier:
    settings = {
        "checkpoint": path, "sha256": None, "blocks": "pool-input", "resize": "stretch",
        "score": "softmax", "precision": "fp32", "device": torch.device("cpu"),
    }  # fmt: skip
    return load_classifier(arch, **(settings | changes))


@pytest.fixture(scope="module")
def caffe_resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_caffe_resnet(tmp_path_factory.mktemp("weights") / "random.pth.tar", 20)


def test_resnet50_has_torchrays_stem_and_strides(caffe_resnet: Path) -> None:
    importlib.import_module("torchray.benchmark.models")  # warns of its own on newer Pythons
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier = load("resnet50", caffe_resnet)
    module = classifier.module
    assert module.conv1.bias is not None
    assert module.maxpool.padding == 0
    assert module.maxpool.ceil_mode
    assert module.layer3[0].conv1.stride == (2, 2)
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not classifier.weights.published
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 50
    assert classifier.maps_available(image) == [64, 256, 512, 1024, 2048]
    shapes = [tuple(block.maps.shape[1:]) for block in classifier.block_maps(image, [3])]
    assert shapes == [(112, 112), (56, 56), (28, 28), (14, 14), (7, 7)]
    assert float(classifier.scores(image).sum()) == pytest.approx(1, abs=1e-5)


def test_coco_has_its_own_weights(
    caffe_resnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_caffe_resnet(tmp_path / "coco.pth.tar", 80)
    classifier = load("resnet50", path, data="coco")
    assert classifier.classes == COCO_CLASSES
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 50
    assert classifier.scores(image).shape == (1, 80)
    with pytest.raises(WeightsError, match="does not fit resnet50 for COCO"):
        load("resnet50", caffe_resnet, data="coco")
    with pytest.raises(WeightsError, match="does not fit resnet50 for VOC"):
        load("resnet50", path)
    asked = []

    def download(url: str, target: str, hash_prefix: str | None) -> None:
        asked.append((url.rsplit("/", 1)[-1], hash_prefix))
        Path(target).write_bytes(path.read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for arch, prefix in (("resnet50", "e99468c5"), ("vgg16", "d82c8150")):
        with pytest.raises(WeightsError, match=f"expected {prefix}"):
            load(arch, None, data="coco")
    assert asked == [
        ("resnet50_coco-e99468c5.pth.tar", "e99468c5"), ("vgg16_coco-d82c8150.pth.tar", "d82c8150"),
    ]  # fmt: skip


def test_weights_are_read_as_they_are(caffe_resnet: Path) -> None:
    state = torch.load(caffe_resnet, weights_only=True)
    module, _ = torchray_networks.load("resnet50", "voc", caffe_resnet, None, fully_convolutional=False)
    loaded = module.state_dict()
    assert torch.equal(loaded["conv1.weight"], state["conv1.weight"][:, [2, 1, 0]])  # BGR to RGB
    assert torch.equal(loaded["layer4.2.conv3.weight"], state["layer4.2.conv3.weight"])
    assert torch.equal(loaded["fc.weight"], state["fc.weight"])


def test_standin_resnet50_finds_the_person(shared: Path) -> None:
    from PIL import Image

    from adasise_bench.data.transforms import to_input

    classifier = load("resnet50", shared / "weights" / "resnet50_voc_standin.pth.tar")
    picture = Image.open(shared / "data/VOCdevkit/VOC2007/JPEGImages/000027.jpg")
    scores = classifier.scores(to_input(picture, "stretch", 224))[0]
    assert classifier.classes[int(scores.argmax())] == "person"


def test_standin_vgg16_full_and_fully_convolutional(shared: Path, tmp_path: Path) -> None:
    import sys

    path = tmp_path / "vgg16.pth.tar"
    script = shared / "weights" / "expand_vgg16.py"
    subprocess.run([sys.executable, str(script), str(path)], check=True, capture_output=True)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 30
    plain = load("vgg16", path)
    assert plain.maps_available(image) == [64, 128, 256, 512, 512]
    sliding = load("vgg16", path, resize="short-side")
    torch.testing.assert_close(sliding.scores(image), plain.scores(image), atol=1e-5, rtol=0)
    wide = torch.randn(1, 3, 224, 300, generator=torch.Generator().manual_seed(0)) * 30
    assert sliding.module(wide).shape == (1, 20, 1, 4)
    assert sliding.scores(wide).shape == (1, 20)
    outputs = load("vgg16", path, blocks="pool-output").block_maps(image, [0])
    assert [block.maps.shape[2] for block in outputs] == [112, 56, 28, 14, 7]


def test_hash_is_checked(caffe_resnet: Path, tmp_path: Path) -> None:
    digest = checkpoint.sha256_of(caffe_resnet)
    assert load("resnet50", caffe_resnet, sha256=digest[:10].upper()).weights.sha256 == digest
    with pytest.raises(WeightsError, match="SHA-256"):
        load("resnet50", caffe_resnet, sha256="0" * 10)
    named = tmp_path / "resnet50_voc-9ca920d6.pth.tar"
    named.write_bytes(caffe_resnet.read_bytes())
    with pytest.raises(WeightsError, match="expected 9ca920d6"):
        load("resnet50", named)


class _Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("executed"),)  # type: ignore[return-value]


def test_pickled_code_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, dump in (("torch.pth", torch.save), ("plain.pth", lambda o, p: p.write_bytes(pickle.dumps(o)))):
        path = tmp_path / name
        dump({"conv1.weight": _Bomb()}, path)
        with pytest.raises(WeightsError, match=name):
            load("resnet50", path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04torn", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.pth.tar"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.pth\.tar") as caught:
        load("resnet50", path)
    assert "\n" not in str(caught.value)


def test_unfitting_weights(caffe_resnet: Path, tmp_path: Path) -> None:
    state = torch.load(caffe_resnet, weights_only=True)
    cases = {
        "does not fit resnet50": {k: v for k, v in state.items() if not k.startswith("layer4")},
        "not finite": state | {"fc.bias": torch.full((20,), float("nan"))},
        "does not fit": state | {"fc.weight": torch.zeros(1000, 2048)},
        "not a tensor": state | {"epoch": 3},
    }
    for message, content in cases.items():
        path = tmp_path / "unfit.pth.tar"
        torch.save(content, path)
        with pytest.raises(WeightsError, match=message):
            load("resnet50", path)
    with pytest.raises(WeightsError, match="cannot read the weights"):
        load("resnet50", tmp_path / "absent.pth.tar")
    with pytest.raises(WeightsError, match="does not fit vgg16"):
        load("vgg16", caffe_resnet)


def test_downloads_the_published_file_and_checks_it(
    caffe_resnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def download(url: str, target: str, hash_prefix: str | None) -> None:
        fetched.append((url.rsplit("/", 1)[-1], hash_prefix))
        Path(target).write_bytes(caffe_resnet.read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(WeightsError, match="expected 9ca920d6"):
        load("resnet50", None)
    assert fetched == [("resnet50_voc-9ca920d6.pth.tar", "9ca920d6")]


def test_failed_download_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_args: Any, **_kwargs: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: "/nonexistent-cache")
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(WeightsError, match=r"explain --checkpoint FILE`, or models\.NETWORK\.checkpoint"):
        torchray_networks.load("resnet50", "voc", None, None, False)
