"""Measure every method beside the library that one would use instead: its time, and how equal the maps are.

All explain the same class of the same picture in turns within this one process: this tool, the library on
the network as this tool prepares it (batch normalisation folded, memory layout by measurement), and the
library on the network as TorchRay loads it. Writes DIR/methods-MODEL-DEVICE-SIZE.json and .md.

    python scripts/method_speed.py --model resnet50 --checkpoint resnet50.pth.tar --root /data/voc
    python scripts/method_speed.py --root /data/voc --methods score_cam,rise --size 96 --rounds 1
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
import torch.nn.functional as F
from benchmark import in_turns, quiet
from scipy.stats import spearmanr
from tabulate import tabulate
from torch import nn

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.data.config import DataConfig
from adasise_bench.data.loading import open_dataset
from adasise_bench.data.transforms import to_input
from adasise_bench.methods import Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.registry import METHODS
from adasise_bench.models import load_classifier, torchray_networks
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.tuning import tune
from adasise_bench.records import environment
from adasise_bench.run.network import definitions
from adasise_bench.utils.devices import pick_device
from adasise_bench.utils.timing import PhaseClock

_INTEGRATION_STEPS = 50


class Case(NamedTuple):
    """What is explained by everyone.

    Attributes:
        layer: name of the module whose maps class activation methods take.
        image: (1, 3, H, W) network input.
        target: index of the class.
        batch: inputs per forward pass.
        masks: masks of RISE.
        iterations: iterations of Extremal Perturbation.
    """

    layer: str
    image: torch.Tensor
    target: int
    batch: int
    masks: int
    iterations: int


Explain = Callable[[nn.Module, Case], torch.Tensor]
"""A library's map, (H, W) of any size."""


def torchcam(name: str, network: nn.Module, case: Case) -> torch.Tensor:
    """A class activation map by torchcam; methods of its own that want options get those of the case."""
    extractor = getattr(import_module("torchcam.methods"), name)
    wanted: dict[str, dict[str, Any]] = {"ScoreCAM": {"batch_size": case.batch}, "CAM": {"fc_layer": "fc"}}
    options = wanted.get(name, {})
    by_gradient = name.startswith("Grad")
    with (
        extractor(network, target_layer=case.layer, **options) as extract,
        torch.set_grad_enabled(by_gradient),
    ):
        outputs = network(case.image.clone().requires_grad_(by_gradient))
        maps: torch.Tensor = extract(case.target, outputs, normalized=False)[0]
        return maps.detach()[0].clamp(min=0)


def pytorch_grad_cam(name: str, network: nn.Module, case: Case) -> torch.Tensor:
    """A map by pytorch-grad-cam."""
    library = import_module("pytorch_grad_cam")
    of_class = import_module("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget(case.target)
    layers = [] if name == "FullGrad" else [network.get_submodule(case.layer)]
    options = {"batch_size": case.batch} if name == "AblationCAM" else {}
    with getattr(library, name)(network, layers, **options) as extract:
        return torch.from_numpy(extract(case.image.clone().requires_grad_(), [of_class])[0])


def captum_grad_cam(network: nn.Module, case: Case) -> torch.Tensor:
    """Grad-CAM by Captum."""
    library = import_module("captum.attr").LayerGradCam(network, network.get_submodule(case.layer))
    maps: torch.Tensor = library.attribute(case.image, target=case.target, relu_attributions=True)
    return maps.detach()[0, 0]


def captum_integrated_gradients(network: nn.Module, case: Case) -> torch.Tensor:
    """Integrated Gradients by Captum, in parts of 25 steps as here (all 50 at once by default)."""
    library = import_module("captum.attr").IntegratedGradients(network)
    maps: torch.Tensor = library.attribute(
        case.image, target=case.target, n_steps=_INTEGRATION_STEPS, internal_batch_size=25
    )
    return maps.detach()[0].sum(dim=0).abs()


def captum_saliency(network: nn.Module, case: Case) -> torch.Tensor:
    """Gradient by Captum."""
    library = import_module("captum.attr").Saliency(network)
    maps: torch.Tensor = library.attribute(case.image.clone(), target=case.target)
    return maps.detach()[0].amax(dim=0)


def torchray(name: str, network: nn.Module, case: Case) -> torch.Tensor:
    """A map by one of TorchRay's functions."""
    function = getattr(import_module(f"torchray.attribution.{name}"), name)
    options = {"grad_cam": {"saliency_layer": case.layer}}.get(name, {})
    maps: torch.Tensor = function(network, case.image.clone(), case.target, **options)
    return maps.detach()[0, 0]


def torchray_rise(network: nn.Module, case: Case) -> torch.Tensor:
    """RISE by TorchRay, with masks of its own."""
    function = import_module("torchray.attribution.rise").rise
    maps: torch.Tensor = function(network, case.image, num_masks=case.masks, batch_size=case.batch)
    return maps[0, case.target]


def torchray_perturbation(network: nn.Module, case: Case) -> torch.Tensor:
    """Extremal Perturbation by TorchRay, with its settings for VOC."""
    library = import_module("torchray.attribution.extremal_perturbation")
    masks, _ = library.extremal_perturbation(
        network, case.image, case.target, reward_func=library.simple_reward, max_iter=case.iterations,
        areas=[0.025, 0.05, 0.1, 0.2], num_levels=8, step=7, sigma=21, jitter=True, smooth=0.09,
    )  # fmt: skip
    summed: torch.Tensor = masks.sum(dim=0)[0]
    return summed


def zennit_lrp(network: nn.Module, case: Case) -> torch.Tensor:
    """LRP by zennit's own attributor, starting at the raw output as here."""
    composite = import_module("zennit.composites").EpsilonPlusFlat(
        canonizers=[import_module("zennit.torchvision").ResNetCanonizer()]
    )
    with import_module("zennit.attribution").Gradient(network, composite) as attributor:
        _, maps = attributor(case.image.clone(), partial(_only, case.target))
    relevance: torch.Tensor = maps.detach()[0].sum(dim=0).clamp(min=0)
    return relevance


def _only(target: int, outputs: torch.Tensor) -> torch.Tensor:
    kept = torch.zeros_like(outputs)
    kept[:, target] = outputs[:, target]
    return kept


PEERS: Mapping[str, Mapping[str, Explain]] = {
    "grad_cam": {
        "torchcam": partial(torchcam, "GradCAM"),
        "Captum": captum_grad_cam,
        "TorchRay": partial(torchray, "grad_cam"),
        "pytorch-grad-cam": partial(pytorch_grad_cam, "GradCAM"),
    },
    "grad_cam_pp": {
        "torchcam": partial(torchcam, "GradCAMpp"),
        "pytorch-grad-cam": partial(pytorch_grad_cam, "GradCAMPlusPlus"),
    },
    "cam": {"torchcam": partial(torchcam, "CAM")},
    "ablation_cam": {"pytorch-grad-cam": partial(pytorch_grad_cam, "AblationCAM")},
    "score_cam": {
        "torchcam": partial(torchcam, "ScoreCAM"),
        "pytorch-grad-cam": partial(pytorch_grad_cam, "ScoreCAM"),
    },
    "rise": {"TorchRay": torchray_rise},
    "extremal_perturbation": {"TorchRay": torchray_perturbation},
    "gradient": {"TorchRay": partial(torchray, "gradient"), "Captum": captum_saliency},
    "integrated_gradients": {"Captum": captum_integrated_gradients},
    "full_grad": {"pytorch-grad-cam": partial(pytorch_grad_cam, "FullGrad")},
    "lrp": {"zennit": zennit_lrp},
    "information_bottleneck": {},
    "sise": {},
    "ada_sise": {},
    "random": {},
    "centre": {},
    "edge": {},
    "box_oracle": {},
}
"""What one would use instead, by method; nothing where no maintained package has it."""


def options(name: str, case: Case) -> dict[str, Any]:
    """This tool's options that make it do what the libraries are asked for."""
    chosen: dict[str, dict[str, Any]] = {
        "rise": {"masks": case.masks},
        "extremal_perturbation": {"iterations": case.iterations},
        "integrated_gradients": {"steps": _INTEGRATION_STEPS},
    }
    return {"name": name} | chosen.get(name, {})


@contextlib.contextmanager
def usable_by_libraries(network: nn.Module) -> Iterator[None]:
    """Some want parameters that require their gradients, and leave them otherwise."""
    try:
        network.requires_grad_(True)
        yield
    finally:
        network.requires_grad_(False)


def agreement(ours: torch.Tensor, theirs: torch.Tensor) -> tuple[float, float]:
    """Largest difference after scaling both to [0, 1], and Spearman's rank correlation."""
    whole = F.interpolate(theirs[None, None].float(), ours.shape, mode="bilinear", align_corners=False)
    ours, theirs = (one.cpu().double() for one in (ours, whole[0, 0]))
    scaled = [(one - one.min()) / (one.max() - one.min()).clamp(min=1e-300) for one in (ours, theirs)]
    return float((scaled[0] - scaled[1]).abs().max()), float(spearmanr(ours.flatten(), theirs.flatten())[0])


def measure(
    name: str, classifier: Classifier, as_loaded: nn.Module, case: Case, rounds: int
) -> list[dict[str, Any]]:
    """Seconds of one method here and by each library, and how equal the maps are: a row per library."""
    method = parse_method(options(name, case))
    inside = torch.zeros(case.image.shape[2:], dtype=torch.bool)
    inside[: len(inside) // 2] = True
    request = Request(method, case.image, case.target, inside=inside)
    method.check(classifier, case.image)
    maps: dict[str, torch.Tensor] = {}

    def ours() -> None:
        maps["ours"] = method.explain(classifier, request, PhaseClock(classifier.device)).saliency

    def theirs(key: str, explain: Explain, network: nn.Module) -> None:
        with usable_by_libraries(network):
            maps[key] = explain(network, case)

    whole = classifier.empty_batch(case.image).copy_(case.image)
    works: dict[str, Callable[[], object]] = {"forward": partial(classifier.scores, whole), "ours": ours}
    for library, explain in PEERS[name].items():
        works[library] = partial(theirs, library, explain, classifier.module)
        works[f"{library}, as loaded"] = partial(theirs, f"{library}, as loaded", explain, as_loaded)
    with quiet():
        taken = in_turns(classifier.device, rounds, **works)
    forward = taken["forward"] / len(whole)
    rows = []
    for library in PEERS[name] or [""]:
        row: dict[str, Any] = {
            "method": name,
            "ours, s": taken["ours"],
            "in forwards": taken["ours"] / forward,
            "library": library,
        }
        if library:
            loaded = taken[f"{library}, as loaded"]
            difference, correlation = agreement(maps["ours"], maps[library])
            row |= {
                "library, s": taken[library],
                "as loaded, s": loaded,
                "times ours": taken[library] / taken["ours"],
                "as loaded, times ours": loaded / taken["ours"],
                "largest difference": difference,
                "rank correlation": correlation,
            }
        rows.append(row)
    return rows


@click.command(help=__doc__)
@click.option("--model", type=click.Choice(["resnet50", "vgg16"]), default="resnet50", show_default=True)
@click.option("--checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--root", required=True, type=click.Path(path_type=Path), help="As data.root.")
@click.option("--device", default="auto", show_default=True)
@click.option("--methods", type=COMMA_LIST, default=",".join(PEERS), show_default=True)
@click.option("--size", default=224, show_default=True, help="Pixels of the input's side.")
@click.option("--masks", default=256, show_default=True, help="Masks of RISE, here and there.")
@click.option("--iterations", default=10, show_default=True, help="Of Extremal Perturbation, here and there.")
@click.option("--rounds", default=3, show_default=True, help="Rounds whose median counts.")
@click.option("--output", default="results/benchmark", type=click.Path(path_type=Path), show_default=True)
def main(
    model: str, checkpoint: Path | None, root: Path, device: str, methods: list[str], size: int, masks: int,
    iterations: int, rounds: int, output: Path,
) -> None:  # fmt: skip
    """Measure the methods and write the results."""
    chosen = pick_device(device)
    classifier = load_classifier(
        model, data="voc", checkpoint=checkpoint, sha256=None, blocks="pool-input", resize="stretch",
        score="softmax", precision="fp32", device=chosen,
    )  # fmt: skip
    as_loaded = torchray_networks.load(model, "voc", checkpoint, None, False)[0].to(chosen)
    dataset = open_dataset(DataConfig(root=root))
    image_id = next(iter(dataset.images))
    annotation = dataset.annotation(image_id)
    image = to_input(dataset.picture(image_id, annotation), "stretch", size, classifier.preprocessing)
    image = image.to(chosen)
    classifier = classifier.with_engine(tune(classifier, image))
    target = classifier.classes.index(annotation.class_names[0])
    case = Case(classifier.blocks[-1], image, target, classifier.batch_size.value, masks, iterations)
    rows = []
    for name in methods:
        if name not in METHODS:
            raise click.UsageError(f"no method {name!r}")
        if name == "cam" and model == "vgg16":
            continue
        rows += measure(name, classifier, as_loaded, case, rounds)
        print(json.dumps(rows[-1]), file=sys.stderr)
    result = {
        "environment": environment.describe(chosen, "fp32", definitions()),
        "model": model,
        "weights_sha256": classifier.weights.sha256,
        "published_model": classifier.weights.published,
        "engine": asdict(classifier.engine),
        "picture": image_id,
        "size": size,
        "masks": masks,
        "iterations": iterations,
        "rounds": rounds,
        "rows": rows,
    }
    output.mkdir(parents=True, exist_ok=True)
    stem = output / f"methods-{model}-{chosen.type}-{size}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    text = tabulate(rows, headers="keys", tablefmt="github", floatfmt=".3g") + "\n"
    stem.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
