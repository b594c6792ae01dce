"""The shipped network: its layout, its file, what it recognises, and that SISE can find it."""

from __future__ import annotations

import pytest
import torch
from conftest import explained, make_classifier
from safetensors.torch import load_file
from torch import nn

from adasise_bench import metrics
from adasise_bench.data.scenes import SCENE_CLASSES, embedded_root
from adasise_bench.data.transforms import to_input
from adasise_bench.data.voc import Annotation, VocDataset, open_voc
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.scenes_vgg import INPUT_SIZE, WEIGHTS, ScenesVGG

BLOCKS = ARCHITECTURES["scenes_vgg"].blocks["pool-input"]
TOP1_FLOOR = 0.95
EXACT_FLOOR = 0.95


@pytest.fixture(scope="module")
def network() -> ScenesVGG:
    network = ScenesVGG()
    network.load_state_dict(load_file(WEIGHTS), strict=True)
    return network.eval().requires_grad_(False)


@pytest.fixture
def pictures() -> list[tuple[torch.Tensor, Annotation]]:
    found = open_voc(embedded_root(), "2007", "test")
    dataset = VocDataset("drawn scenes", SCENE_CLASSES, found.images, found.annotations)
    annotations = {image_id: dataset.annotation(image_id) for image_id in dataset.images}
    return [
        (to_input(dataset.picture(image_id, annotation), "stretch", INPUT_SIZE), annotation)
        for image_id, annotation in annotations.items()
    ]


def test_weights_are_small() -> None:
    assert WEIGHTS.stat().st_size < 3_000_000


def test_weights_are_finite_and_float32() -> None:
    state = load_file(WEIGHTS)
    assert all(value.dtype == torch.float32 and torch.isfinite(value).all() for value in state.values())


def test_blocks_are_the_inputs_of_the_poolings(network: ScenesVGG) -> None:
    layers = list(network.features)
    poolings = [index for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    assert [f"features.{index - 1}" for index in poolings] == list(BLOCKS)
    assert all(isinstance(network.get_submodule(block), nn.ReLU) for block in BLOCKS)
    assert all(layers[index].ceil_mode for index in poolings)


def test_maps_are_as_many_as_announced(network: ScenesVGG) -> None:
    classifier = make_classifier(network, BLOCKS, SCENE_CLASSES)
    maps = classifier.maps_available(torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE))
    assert tuple(maps) == ARCHITECTURES["scenes_vgg"].maps


def test_outputs_are_raw_and_independent_of_the_batch(network: ScenesVGG) -> None:
    inputs = torch.randn(3, 3, INPUT_SIZE, INPUT_SIZE, generator=torch.Generator().manual_seed(1)) * 60
    outputs = network(inputs)
    assert outputs.shape == (3, len(SCENE_CLASSES))
    assert outputs.min() < 0
    torch.testing.assert_close(
        torch.cat([network(one[None]) for one in inputs]), outputs, rtol=1e-4, atol=1e-4
    )


def test_recognises_the_embedded_scenes(
    network: ScenesVGG, pictures: list[tuple[torch.Tensor, Annotation]]
) -> None:
    outputs = network(torch.cat([image for image, _ in pictures]))
    names = [set(annotation.class_names) for _, annotation in pictures]
    top1 = [SCENE_CLASSES[index] in row for index, row in zip(outputs.argmax(dim=1), names, strict=True)]
    found = [{SCENE_CLASSES[index] for index in row.nonzero()} for row in outputs > 0]
    exact = [one == other for one, other in zip(found, names, strict=True)]
    assert sum(top1) / len(top1) >= TOP1_FLOOR
    assert sum(exact) / len(exact) >= EXACT_FLOOR


def test_sise_finds_the_objects(network: ScenesVGG, pictures: list[tuple[torch.Tensor, Annotation]]) -> None:
    classifier = make_classifier(network, BLOCKS, SCENE_CLASSES)
    energy, area = [], []
    for image, annotation in pictures[:6]:
        for name in annotation.class_names:
            inside = annotation.inside(name, (INPUT_SIZE, INPUT_SIZE))
            saliency = explained("sise", classifier, image, SCENE_CLASSES.index(name)).saliency
            energy.append(metrics.ebpg(saliency, inside))
            area.append(100 * float(inside.float().mean()))
    assert sum(energy) >= 2 * sum(area)
