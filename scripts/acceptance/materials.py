"""What the steps work on: the networks, their weights, and the pictures that are at hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision.models import vgg16

from adasise_bench.models.checkpoint import sha256_of
from adasise_bench.utils.devices import pick_device

SEED = 0
_MILD = 0.02
"""Factor of the random network's last layer, which keeps its softmax from being 0 or 1 everywhere."""


@dataclass(frozen=True)
class Network:
    """A network that the steps measure.

    Attributes:
        name: its architecture.
        checkpoint: file of its weights; ``None`` for those that come with the tool.
        root: where its pictures are, as ``data.root``.
        weights: one phrase that says where the weights come from.
    """

    name: str
    checkpoint: str | None
    root: str
    weights: str

    @property
    def path(self) -> Path | None:
        """The checkpoint as a path."""
        return Path(self.checkpoint) if self.checkpoint else None

    @property
    def input_size(self) -> int:
        """Pixels of the side of its inputs."""
        return 96 if self.name == "scenes_vgg" else 224


@dataclass(frozen=True)
class Setup:
    """What the steps are told.

    Attributes:
        device: ``cuda``, ``cuda:N`` or ``cpu``.
        quick: do little of everything, to see that every step works.
        networks: what is measured, the most important first.
        work: folder for temporary files.
    """

    device: str
    quick: bool
    networks: tuple[Network, ...]
    work: str

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Setup:
        """The setup in plain data."""
        networks = tuple(Network(**network) for network in facts["networks"])
        return cls(facts["device"], facts["quick"], networks, facts["work"])

    @property
    def torch_device(self) -> torch.device:
        """The device as torch knows it, a GPU with its number."""
        return pick_device(self.device)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Arithmetics of the scoring passes; TF32 and fast float16 are a GPU's."""
        return ("fp32", "bf16") if self.device == "cpu" else ("fp32", "bf16", "fp16", "tf32")

    @property
    def engine(self) -> dict[str, Any]:
        """How forward passes are run, as ``engine`` in a configuration; empty where it shall be measured."""
        return {"layout": "channels_last", "batch_size": 16} if self.quick else {}

    def configuration(self, name: str, network: Network, methods: Sequence[Any], **changes: Any) -> Path:
        """Write a run's configuration and return its path.

        Args:
            name: of the file.
            network: the only network.
            methods: entries under ``methods``.
            changes: further keys.
        """
        model = {"checkpoint": network.checkpoint} if network.checkpoint else {}
        tree = {
            "data": {"root": network.root, "input_size": network.input_size},
            "models": {network.name: model},
            "methods": methods,
            "device": self.device,
            "engine": self.engine,
        }
        path = Path(self.work) / f"{name}.yaml"
        path.write_text(json.dumps(tree | changes))
        return path


SCENES = Network("scenes_vgg", None, "embedded", "the tool's own, for the drawn scenes")


def networks(data: Path | None, resnet50: Path | None, vgg16: Path | None, work: Path) -> tuple[Network, ...]:
    """The networks that can be measured with what is at hand; without pictures only that of the drawn scenes.

    Args:
        data: folder that holds VOCdevkit.
        resnet50: checkpoint in TorchRay's format; without it the network is left out.
        vgg16: checkpoint in TorchRay's format; without it the network gets random weights.
        work: folder for the random weights.
    """
    if data is None:
        return (SCENES,)
    found = []
    if resnet50:
        found.append(Network("resnet50", str(resnet50), str(data), _origin("resnet50", resnet50)))
    if vgg16:
        found.append(Network("vgg16", str(vgg16), str(data), _origin("vgg16", vgg16)))
    else:
        path = work / "vgg16_random.pth.tar"
        save_random_vgg16(path)
        weights = f"STAND-IN: random numbers (seed {SEED}), good for times only"
        found.append(Network("vgg16", str(path), str(data), weights))
    return tuple(found)


def _origin(architecture: str, path: Path) -> str:
    from torchray.benchmark.models import model_urls

    digest = sha256_of(path)
    published = digest.startswith(model_urls[architecture]["voc"].rsplit("-", 1)[-1].split(".")[0])
    origin = "TorchRay's" if published else "STAND-IN, not TorchRay's"
    return f"{origin}: {path.name}, SHA-256 {digest[:12]}"


def save_random_vgg16(path: Path) -> None:
    """Write a checkpoint of VGG16 for VOC's 20 classes in TorchRay's format, with random weights.

    TorchRay's file numbers the linear layers without the dropout between them; half precision halves it.
    """
    generator = torch.random.get_rng_state()
    torch.manual_seed(SEED)
    state = vgg16(num_classes=20).state_dict()
    torch.random.set_rng_state(generator)
    for layer, name in (("3", "2"), ("6", "4")):
        for kind in ("weight", "bias"):
            state[f"classifier.{name}.{kind}"] = state.pop(f"classifier.{layer}.{kind}")
    state["classifier.4.weight"] *= _MILD
    torch.save({name: value.half() for name, value in state.items()}, path)
