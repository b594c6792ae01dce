"""Networks of the user's own: built, checked, traced, and used as the tool's own are."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from conftest import explained
from hostile.refusals import command, refused
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from adasise_bench.cli.table import tables_text
from adasise_bench.data.scenes import SCENE_CLASSES
from adasise_bench.data.transforms import CAFFE, Preprocessing, to_input
from adasise_bench.models import scenes_vgg
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.checkpoint import sha256_of
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.custom import IMAGENET, state_sha256
from adasise_bench.models.surgery import folded_where_exact
from adasise_bench.records.reading import read_records
from adasise_bench.run import network
from adasise_bench.run.config_file import load_config, validate
from adasise_bench.utils import plugins
from adasise_bench.utils.errors import ConfigError, WeightsError

NORMALISED = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}

SOURCE = """
import torch
from torch import nn

def network(outputs=6, channels=8):
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 12, 3, padding=1), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, outputs),
    )

def with_facts(**facts):
    return network(), {"mean": (0.1, 0.2, 0.3), "std": (1, 1, 1), "scale": 255} | facts

def patched():
    module = network()
    layers = list(module)
    def forward(x):
        for layer in layers:
            x = layer(x)
        return x
    module.forward = forward
    return module

class Two(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)), x

def two():
    return Two()

def squares_only():
    layers = nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(4 * 21 * 21, 6))

def lazy():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(6))

def endless():
    module = network()
    nn.init.constant_(module[-1].bias, float("inf"))
    return module

def text():
    return "a network"

def fails():
    raise KeyError("planted")

# As the quickstart's network preprocesses its inputs, which are then multiplied by 1.
def scenes():
    from adasise_bench.models.scenes_vgg import load
    return load()[0], {"mean": (123.68, 116.779, 103.939), "std": (1, 1, 1), "scale": 255}
"""


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``nets`` in the working directory, imported by nobody so far."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    plugins.load.cache_clear()
    path = tmp_path / "nets.py"
    path.write_text(SOURCE)
    return path


def tree(entry: dict[str, Any], name: str = "mine", **changes: Any) -> dict[str, Any]:
    return {
        "data": {"root": "embedded", "input_size": 48},
        "models": {name: entry},
        "methods": ["sise"],
        "engine": {"layout": "contiguous", "batch_size": 8},
    } | changes


def load(entry: dict[str, Any], name: str = "mine", **changes: Any) -> Classifier:
    return network.load(validate(tree(entry, name, **changes), "test"), name, torch.device("cpu"))


def test_torchvision_with_a_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = torchvision.models.resnet18(weights=None, num_classes=6).eval()
    path = tmp_path / "my.pth"
    torch.save(module.state_dict(), path)
    classifier = load({"source": "torchvision", "checkpoint": str(path)}, "resnet18")
    image = torch.randn(2, 3, 48, 48)
    torch.testing.assert_close(classifier.outputs(image), module(image), atol=1e-3, rtol=1e-3)
    assert classifier.blocks == ("relu", "layer1", "layer2", "layer3", "layer4")
    assert classifier.maps == (64, 64, 128, 256, 512)
    assert isinstance(classifier.module.get_submodule("layer1.0.bn1"), nn.Identity)
    assert classifier.classes == SCENE_CLASSES
    assert (classifier.weights.file, classifier.weights.published) == ("my.pth", False)
    assert classifier.weights.sha256 == sha256_of(path)
    assert classifier.preprocessing == Preprocessing(1, **IMAGENET)
    assert classifier.definition == "torchvision resnet18"
    facts = network.facts(classifier)
    assert facts["maps_available"] == [64, 64, 128, 256, 512]
    assert facts["blocks"] == list(classifier.blocks)


def test_timm_with_safetensors(tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = timm.create_model("resnet18", num_classes=6).eval()
    path = tmp_path / "model.safetensors"
    save_file(module.state_dict(), path)
    entry = {"source": "timm", "arch": "resnet18", "checkpoint": str(path), "sha256": sha256_of(path)[:8]}
    classifier = load(entry)
    image = torch.randn(2, 3, 48, 48)
    torch.testing.assert_close(classifier.outputs(image), module(image), atol=1e-3, rtol=1e-3)
    assert classifier.blocks == ("act1", "layer1", "layer2", "layer3", "layer4")
    assert classifier.weights.sha256 == sha256_of(path)
    assert classifier.preprocessing.scale == 1
    assert classifier.definition == f"timm {timm.__version__} resnet18"


VIT = {"img_size": 48, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 3, "reg_tokens": 2}


def vit(**settings: Any) -> dict[str, Any]:
    return {"source": "timm", "arch": "vit_tiny_patch16_224", "options": VIT} | settings


def test_a_vision_transformer_of_timm() -> None:
    classifier = load(vit())
    assert classifier.blocks == ("blocks.0", "blocks.1", "blocks.2")
    assert classifier.maps == (24, 24, 24)
    assert classifier.prefixes[0] == 3
    assert load(vit(tokens=3, blocks=["blocks.3.norm1", "blocks.1"])).blocks == ("blocks.1", "blocks.3.norm1")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"blocks": ["blocks.3"]},
            "blocks: 'blocks.3': the output does not depend on its tokens of positions",
        ),
        (
            {"tokens": 1, "blocks": ["blocks.1"]},
            "blocks: 'blocks.1' gives no feature maps (N, C, h, w), and no",
        ),
        ({"tokens": 1}, "blocks: the network has no two places at which all later layers read feature maps"),
        ({"options": VIT | {"img_size": 32}}, "48"),
    ],
)
def test_a_transformer_that_does_not_fit_is_refused_in_one_line(
    settings: dict[str, Any], problem: str
) -> None:
    refused(lambda: load(vit(**settings)), "models.mine", problem, kind=ConfigError)


def test_random_weights_are_the_same_each_time_and_traced() -> None:
    entry = {"source": "torchvision", "arch": "squeezenet1_1"}
    torch.manual_seed(4)
    before = torch.get_rng_state()
    first = load(entry)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert load(entry).weights == first.weights
    assert first.weights.file == "random weights"
    assert load(entry | {"classes": [*SCENE_CLASSES, "sky"]}).weights.sha256 != first.weights.sha256


def test_pretrained_weights_bring_their_classes_and_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    offered = torchvision.models.SqueezeNet1_1_Weights
    monkeypatch.setattr(offered, "get_state_dict", lambda *_, **__: state)
    classifier = load({"source": "torchvision", "weights": "DEFAULT"}, "squeezenet1_1")
    assert len(classifier.classes) == len(set(classifier.classes)) == 1000
    assert "golden retriever" in classifier.classes
    assert classifier.weights.file == "torchvision's squeezenet1_1 IMAGENET1K_V1"
    config = validate(tree({"source": "torchvision", "weights": "DEFAULT"}, "squeezenet1_1"), "test")
    from adasise_bench.data.loading import open_dataset

    dataset = open_dataset(config.data)
    refused(
        lambda: network.refuse_missing_classes(classifier, dataset),
        f"no output for {SCENE_CLASSES[0]!r}, a class of drawn scenes",
        kind=ConfigError,
    )

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(offered, "get_state_dict", offline)
    for told in (
        "torchvision squeezenet1_1: OSError: no route to host",
        "; fetch the weights by hand and name the file in `checkpoint`",
    ):
        refused(
            lambda: load({"source": "torchvision", "weights": "DEFAULT"}, "squeezenet1_1"),
            told,
            kind=WeightsError,
        )


def test_the_state_is_hashed_with_its_names_and_types() -> None:
    module = nn.Linear(2, 3)
    digest = state_sha256(module)
    assert digest == state_sha256(module)
    assert len(digest) == 64
    assert state_sha256(nn.Sequential(module)) != digest
    assert state_sha256(nn.Linear(2, 3)) != digest
    assert state_sha256(module.half()) != digest


def test_a_function_may_say_what_its_network_needs() -> None:
    classifier = load({"source": "nets:with_facts", "options": {"classes": list("abcdef"), "blocks": ["2"]}})
    assert classifier.preprocessing == Preprocessing(255, (0.1, 0.2, 0.3), (1, 1, 1))
    assert (classifier.classes, classifier.blocks) == (tuple("abcdef"), ("2",))
    assert classifier.definition == plugins.definition("nets:with_facts")
    assert classifier.weights.file == "weights of nets:with_facts"
    overruled = load(
        {"source": "nets:with_facts", "options": {"blocks": ["2"]}, "blocks": "auto", "scale": 1}
    )
    assert overruled.preprocessing.scale == 1
    assert overruled.blocks == ("2", "5")
    assert overruled.classes == SCENE_CLASSES


def test_preprocessing_scales_subtracts_and_divides() -> None:
    picture = Image.new("RGB", (40, 30), (255, 51, 0))
    got = to_input(picture, "stretch", 32, Preprocessing(1, (0.5, 0.1, 0.0), (0.25, 0.5, 1.0)))
    torch.testing.assert_close(got.amax(dim=(2, 3)), torch.tensor([[2.0, 0.2, 0.0]]))
    transform = torchvision.transforms.Normalize(**IMAGENET)
    expected = transform(torchvision.transforms.ToTensor()(picture.resize((32, 32))))[None]
    torch.testing.assert_close(to_input(picture, "stretch", 32, Preprocessing(1, **IMAGENET)), expected)


def test_folding_that_would_change_outputs_is_left_out() -> None:
    class Swapped(nn.Module):
        """A normalisation registered behind a convolution that it comes before."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
            self.norm.running_mean = torch.ones(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.norm(x)).mean((2, 3))

    image = torch.randn(1, 3, 8, 8)
    swapped = Swapped().eval().requires_grad_(False)
    assert folded_where_exact(swapped, image) is swapped
    module = timm.create_model("mobilenetv3_small_050", num_classes=3).eval().requires_grad_(False)
    image = torch.randn(1, 3, 32, 32)
    folded = folded_where_exact(module, image)
    torch.testing.assert_close(folded(image), module(image), atol=1e-4, rtol=1e-3)


def test_a_forward_pass_that_calls_the_layers_of_one_object_keeps_this_object() -> None:
    """A copy of such a network passes its inputs through the layers of the original."""
    module = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    layers = list(module)

    def forward(x: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            x = layer(x)
        return x.flatten(1)

    module.forward = forward
    module.eval().requires_grad_(False)
    assert folded_where_exact(module, torch.randn(1, 3, 8, 8)) is module


def test_a_network_whose_forward_pass_was_put_into_the_object_is_explained() -> None:
    classifier = load({"source": "nets:patched", **NORMALISED})
    maps = classifier.block_maps(torch.randn(1, 3, 48, 48), [0])
    assert [len(block.maps) for block in maps] == list(classifier.maps)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"source": "torchvison"}, "models.mine: source: no 'torchvison'; did you mean 'torchvision'?"),
        ({"source": "torchvision"}, "torchvision has no classifier 'mine'"),
        ({"source": "torchvision", "arch": "resnet81"}, "did you mean 'resnet18'"),
        ({"source": "timm", "arch": "resnet81"}, "timm has no 'resnet81'; did you mean"),
        (
            {"source": "torchvision", "arch": "squeezenet1_1", "weights": "IMAGNET"},
            "did you mean 'IMAGENET1K",
        ),
        ({"source": "torchvision", "arch": "squeezenet1_1", "options": {"x": 1}}, "unexpected keyword"),
        ({"source": "torchvision", "arch": "vit_b_32"}, "fails on an input of 48x48 px"),
        ({"source": "nets:network", "weights": "DEFAULT"}, "weights: only for torchvision and timm"),
        ({"source": "nets:network", "sha256": "0" * 8}, "sha256: is that of a `checkpoint`"),
        ({"source": "nets:network"}, "say how pictures are normalised"),
        ({"source": "nets:network", **NORMALISED, "std": [1, 0, 1]}, "std: must be above 0"),
        ({"source": "nets:network", **NORMALISED, "scale": 2}, "models.mine: key 'scale'"),
        ({"source": "nets:network", **NORMALISED, "clases": []}, "did you mean 'classes'"),
        ({"source": "nets:network", **NORMALISED, "classes": ["a", "a"]}, "'a' is there twice"),
        (
            {"source": "nets:network", **NORMALISED, "classes": ["a\n"]},
            "'a\\n' is no printable name",
        ),
        ({"source": "nets:network", **NORMALISED, "classes": ["a", "b"]}, "has 6 outputs for 2 classes"),
        ({"source": "nets:network", **NORMALISED, "options": {"outputs": 9}}, "has 9 outputs for 6 classes"),
        ({"source": "nets:network", **NORMALISED, "options": {"output": 9}}, "unexpected keyword argument"),
        ({"source": "nets:network", **NORMALISED, "blocks": ["1"]}, "blocks: '1': its output is overwritten"),
        ({"source": "nets:network", **NORMALISED, "blocks": ["22"]}, "blocks: no module '22'"),
        ({"source": "nets:network", **NORMALISED, "blocks": ["8"]}, "blocks: '8' gives no feature maps"),
        ({"source": "nets:with_facts", "options": {"std": 3}}, "what nets:with_facts says: key 'std'"),
        ({"source": "nets:with_facts", "options": {"stdd": 3}}, "nets:with_facts says 'stdd'; did you mean"),
        ({"source": "nets:two", **NORMALISED}, "gives tuple for 2 inputs"),
        ({"source": "nets:lazy", **NORMALISED}, "uninitialized parameter"),
        ({"source": "nets:text", **NORMALISED}, "nets:text returned a str"),
        ({"source": "nets:fails", **NORMALISED}, "nets:fails: KeyError: 'planted' (nets.py:"),
        ({"source": "nets:absent", **NORMALISED}, "nets:absent: cannot be imported"),
        ({"source": "nowhere:f", **NORMALISED}, "No module named 'nowhere'"),
    ],
)
def test_mistakes_are_one_line(entry: dict[str, Any], named: str) -> None:
    refused(lambda: load(entry), named, kind=ConfigError)


def test_weights_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    entry = {"source": "nets:network", **NORMALISED, "checkpoint": str(tmp_path / "w.pth")}
    refused(lambda: load(entry), "w.pth", kind=WeightsError)
    torch.save({"0.weight": torch.zeros(1)}, tmp_path / "w.pth")
    refused(lambda: load(entry), "w.pth: does not fit models.mine", kind=WeightsError)
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    refused(lambda: load(entry), "'epoch' is not a tensor", kind=WeightsError)
    refused(lambda: load(entry | {"sha256": "0" * 8}), "SHA-256 starts with", kind=WeightsError)
    refused(lambda: load({"source": "nets:endless", **NORMALISED}), "not finite", kind=WeightsError)


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "scenes_vgg"])
def test_the_published_names_stay_the_published_networks(name: str) -> None:
    refused(lambda: load({"source": "timm"}, name), f"set `arch: {name}`", kind=ConfigError)


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "a\nb"])
def test_names_that_are_no_folders_are_refused(name: str) -> None:
    refused(lambda: load({"source": "timm", "arch": "resnet18"}, name), "cannot name a folder")


def test_networks_for_squares_are_refused_for_other_inputs() -> None:
    entry = {"source": "nets:squares_only", **NORMALISED}
    assert load(entry).blocks == ("0", "2")
    data = {"root": "embedded", "input_size": 48, "resize": "short-side"}
    refused(lambda: load(entry, data=data), "data.resize=short-side: fails on an input of 36x48 px")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    def call(config: dict[str, Any], *options: str, code: int = 0, output: str = "out") -> Any:
        (tmp_path / "config.yaml").write_text(json.dumps(config))
        given = ("--config", tmp_path / "config.yaml", "--output", tmp_path / output, *options)
        result = command("run", *given)
        assert result.exit_code == code, result.output
        return result

    return call


def test_the_same_network_by_its_own_name_and_by_a_function_gives_the_same_records(
    run: Callable[..., Any], nets: Path
) -> None:
    config = tree({"source": "nets:scenes"}, methods=["sise"], limit=2)
    config["models"]["scenes_vgg"] = {}
    config["data"]["input_size"] = scenes_vgg.INPUT_SIZE
    run(config)
    text = " ".join(tables_text(Path("out"), notes="all").split())
    blocks = ", ".join(ARCHITECTURES["scenes_vgg"].blocks["pool-input"])
    assert f"mine: own network (nets:scenes); feature maps are read after {blocks}." in text
    assert "not the published model but weights of nets:scenes" in text
    records = read_records(Path("out"))
    assert records["error"].isna().all()
    measures = ["ebpg", "bbox", "drop", "increase", "miou", "score", "forwards"]
    mine, shipped = (
        records[records["model"] == model][measures].reset_index(drop=True)
        for model in ("mine", "scenes_vgg")
    )
    assert len(mine) == 3
    assert mine.equals(shipped)
    again = network.load(load_config(Path("out/config.yaml")), "mine", torch.device("cpu"))
    assert again.preprocessing == CAFFE
    environment = json.loads(Path("out/environment.json").read_text())
    assert environment["definitions"]["models.mine"] == plugins.definition("nets:scenes")
    nets.write_text(SOURCE + "# changed\n")
    assert "definitions.models.mine" in run(config, code=5).stderr


def test_the_plan_says_what_it_does_not_know(run: Callable[..., Any]) -> None:
    config = tree({"source": "nets:scenes"})
    config["models"]["scenes_vgg"] = {}
    lines = run(config, "--dry-run").stdout.splitlines()
    assert any(line.split()[:2] == ["mine", "sise"] and line.endswith(" unknown") for line in lines)
    assert any(line.split()[:2] == ["scenes_vgg", "sise"] and line.split()[-1][0].isdigit() for line in lines)


def test_explaining_a_picture_with_it(tmp_path: Path) -> None:
    Image.effect_noise((60, 50), 90).save(tmp_path / "noise.png")
    shared = ("explain", tmp_path / "noise.png", "--model", "mine", "--set", "data.input_size=48")
    wrong = command(*shared)
    assert wrong.exit_code == 2
    assert "a model of your own needs --set models.mine.source" in wrong.stderr
    settings = [f"models.mine.classes={[*SCENE_CLASSES]}", "engine.batch_size=8", "engine.layout=contiguous"]
    options = [word for setting in settings for word in ("--set", setting)]
    result = command(*shared, "--set", "models.mine.source=nets:scenes", *options, "--methods", "sise")
    assert result.exit_code == 0, result.output
    assert "mine, not the published weights: weights of nets:scenes" in result.stderr
    facts = json.loads(Path("explain-noise/explanation.json").read_text())
    assert facts["model"]["preprocessing"]["scale"] == 255
    assert facts["definitions"]["models.mine"] == plugins.definition("nets:scenes")


def test_methods_see_an_own_network_as_any_other() -> None:
    classifier = load({"source": "nets:network", **NORMALISED})
    image = torch.randn(1, 3, 48, 48)
    for method in ("sise", {"name": "extremal_perturbation", "iterations": 2}):
        saliency = explained(method, classifier, image, 1).saliency
        assert saliency.shape == (48, 48)
        assert torch.isfinite(saliency).all()
