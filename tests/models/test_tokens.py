"""Feature maps from tokens and from channels that come last: by shape, and against networks without these."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import timm
import torch
from conftest import TinyVGG, explained, make_classifier
from torch import nn

from adasise_bench.methods.sise.fusion import min_max
from adasise_bench.models.blocks import check_blocks, find_blocks
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.tokens import MapLayout, layout_of, possible_prefixes
from adasise_bench.utils.errors import ConfigError


def noise(side: int, other: int | None = None) -> torch.Tensor:
    return torch.randn(1, 3, side, other or side, generator=torch.Generator().manual_seed(0))


def small_vit(**options: Any) -> nn.Module:
    """16 patches and four units; with large weights, so that the class token attends to single patches."""
    torch.manual_seed(1)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 3, "num_classes": 4}
    network = timm.create_model("vit_tiny_patch16_224", **(sizes | options))
    return _frozen(network)


def small_swin() -> nn.Module:
    torch.manual_seed(1)
    sizes = {"img_size": 64, "embed_dim": 12, "depths": (1, 1, 2), "num_heads": (1, 2, 4), "window_size": 4}
    return _frozen(timm.create_model("swin_tiny_patch4_window7_224", num_classes=4, **sizes))


def _frozen(network: nn.Module) -> nn.Module:
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and "embed" not in name:
            nn.init.normal_(parameter, std=0.25)
    return network.eval().requires_grad_(False)


def classifier(network: nn.Module, *blocks: str) -> Classifier:
    return make_classifier(network, blocks, tuple("abcd"), prefixes=possible_prefixes(network, None))


@pytest.mark.parametrize(
    ("shape", "frame", "expected"),
    [
        ((1, 64, 14, 14), (224, 224), ("maps", (14, 14), 0)),
        ((1, 64, 7, 9), (224, 298), ("maps", (7, 9), 0)),
        ((1, 64, 64, 85), (64, 85), ("maps", (64, 85), 0)),  # not 64 x 64 positions
        ((1, 2048, 1, 1), (224, 224), ("maps", (1, 1), 0)),
        ((1, 14, 14, 64), (224, 224), ("channels-last", (14, 14), 0)),
        ((1, 7, 9, 64), (224, 298), ("channels-last", (7, 9), 0)),
        ((1, 14, 14, 14), (224, 224), ("maps", (14, 14), 0)),
        ((1, 196, 64), (224, 224), ("tokens", (14, 14), 0)),
        ((1, 197, 64), (224, 224), ("tokens", (14, 14), 1)),
        ((1, 63, 64), (224, 298), ("tokens", (7, 9), 0)),
        ((1, 198, 64), (224, 224), None),
        ((1, 1, 64), (224, 224), None),
        ((1, 64), (224, 224), None),
    ],
)
def test_what_shapes_hold(
    shape: tuple[int, ...], frame: tuple[int, int], expected: tuple[str, tuple[int, int], int] | None
) -> None:
    found = layout_of(torch.zeros(shape), frame, (0, 1))
    assert found == (MapLayout(*expected) if expected else None)  # type: ignore[arg-type]


def test_what_is_no_tensor_holds_nothing() -> None:
    assert layout_of((torch.zeros(1, 2, 3, 3),), (9, 9), (0,)) is None


def test_the_number_of_tokens_in_front_is_the_networks_or_the_configurations() -> None:
    assert possible_prefixes(small_vit(reg_tokens=4), None) == (5, 0, 1)
    assert possible_prefixes(TinyVGG(), None) == (0, 1)
    assert possible_prefixes(small_vit(reg_tokens=4), 2) == (2,)
    assert layout_of(torch.zeros(1, 21, 8), (32, 32), (5, 0, 1)) == MapLayout("tokens", (4, 4), 5)
    assert layout_of(torch.zeros(1, 16, 8), (32, 32), (5, 0, 1)) == MapLayout("tokens", (4, 4), 0)


@pytest.mark.parametrize(
    ("layout", "shape"),
    [(MapLayout("maps", (2, 3)), (2, 5, 2, 3)), (MapLayout("channels-last", (2, 3)), (2, 2, 3, 5)),
     (MapLayout("tokens", (2, 3), 2), (2, 8, 5))],
)  # fmt: skip
def test_maps_go_back_to_where_they_came_from(layout: MapLayout, shape: tuple[int, ...]) -> None:
    output = torch.arange(float(torch.tensor(shape).prod())).view(shape)
    maps = layout.maps(output)
    assert maps.shape == (2, 5, 2, 3)
    assert torch.equal(layout.output(maps, output), output)
    if layout.kind == "tokens":
        assert maps[1, 4, 1, 0] == output[1, 2 + 3, 4]
        other = layout.output(maps * 0, output[:1])
        assert torch.equal(other[1, :2], output[0, :2])
        assert not other[:, 2:].any()


class Passed(nn.Module):
    """Hands maps on in another form: as tokens behind two others, or with the channels last."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if self.kind == "channels-last":
            return maps.permute(0, 2, 3, 1).contiguous()
        front = torch.full((len(maps), 2, maps.shape[1]), 7.0)
        return torch.cat([front, maps.flatten(2).transpose(1, 2)], dim=1)


class Returned(nn.Module):
    """What takes them back."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, output: torch.Tensor) -> torch.Tensor:
        if output.ndim == 4:
            return output.permute(0, 3, 1, 2)
        return output[:, 2:].transpose(1, 2).unflatten(2, self.size)


BLOCKS = ("features.1", "features.4", "features.7")


@pytest.fixture
def in_another_form(tiny: Classifier) -> Callable[[str], Classifier]:
    """The tiny network with its blocks' outputs in another form; all that it computes is the same."""

    def changed(kind: str) -> Classifier:
        module = copy.deepcopy(tiny.module)
        for name, size in zip(BLOCKS, ((48, 48), (24, 24), (12, 12)), strict=True):
            number = int(name.split(".")[1])
            module.features[number] = nn.Sequential(nn.ReLU(), Passed(kind), Returned(size))
        return replace(tiny, module=module, blocks=tuple(f"{name}.1" for name in BLOCKS), prefixes=(2,))

    return changed


@pytest.mark.parametrize("kind", ["tokens", "channels-last"])
@pytest.mark.parametrize(
    "entry",
    ["sise", "ada_sise", "grad_cam", "grad_cam_pp", "hires_cam", "layer_cam", "refine_cam", "score_cam",
     "ablation_cam", {"name": "information_bottleneck", "pictures": 2, "iterations": 2}],
)  # fmt: skip
def test_every_method_gives_the_maps_of_the_same_network_without_tokens(
    tiny: Classifier, in_another_form: Callable[[str], Classifier], kind: str, entry: Any
) -> None:
    image = noise(48) * 60
    expected = explained(entry, tiny, image, 2)
    got = explained(entry, in_another_form(kind), image, 2)
    scale = float(expected.saliency.max())
    assert scale > 0
    torch.testing.assert_close(got.saliency / scale, expected.saliency / scale, atol=2e-5, rtol=0)
    assert (got.forwards, got.maps_kept) == (expected.forwards, expected.maps_kept)


def test_ablation_cam_runs_only_what_is_behind_the_tokens(
    in_another_form: Callable[[str], Classifier],
) -> None:
    network = in_another_form("tokens")
    passed: list[int] = []
    hook = lambda _module, inputs: passed.append(len(inputs[0]))  # noqa: E731
    network.module.get_submodule("features.0").register_forward_pre_hook(hook)
    explained("ablation_cam", network, noise(48) * 60, 2)
    assert sum(passed) == 1


VIT_LAYERS = ("blocks.1", "blocks.3.norm1")


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "layer_cam"])
@pytest.mark.parametrize("network", ["vit", "swin"])
def test_equals_pytorch_grad_cam_with_its_reshaping(method: str, network: str) -> None:
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from pytorch_grad_cam.utils.reshape_transforms import vit_reshape_transform

    if network == "vit":
        module, image, names = small_vit(), noise(32), VIT_LAYERS
        reshape = partial(vit_reshape_transform, height=4, width=4)
    else:
        module, image, names = small_swin(), noise(64), ("layers.1", "layers.2")
        reshape = lambda output: output.permute(0, 3, 1, 2)  # noqa: E731
        if method == "hires_cam":  # a LayerNorm does not see how long its input is: gradient times input is 0
            names = ("layers.0", "norm")
    peer = {"grad_cam": library.GradCAM, "hires_cam": library.HiResCAM, "layer_cam": library.LayerCAM}[method]
    for name in names:
        layer = module.get_submodule(name)
        with torch.enable_grad():
            extractor = peer(model=module, target_layers=[layer], reshape_transform=reshape)
            expected = extractor(image.clone().requires_grad_(), [ClassifierOutputTarget(2)])[0]
            extractor.activations_and_grads.release()
        assert expected.max() > 0.9
        got = explained({"name": method, "layer": name}, classifier(module, name), image, 2).saliency
        torch.testing.assert_close(min_max(got), torch.from_numpy(expected), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("registers", "pooling"), [(0, "token"), (3, "token"), (3, "avg")])
def test_blocks_of_a_vision_transformer_are_its_quarters(registers: int, pooling: str) -> None:
    """Behind a class token, the last unit's own output does not matter, and the one before is taken."""
    module = small_vit(reg_tokens=registers, global_pool=pooling, depth=8)
    names = find_blocks(module, noise(32))
    last = "blocks" if pooling == "avg" else "blocks.6"
    assert len(names) == 4
    assert names[-1] == last
    found = classifier(module, *names).block_maps(noise(32), [0, 1])
    assert [block.maps.shape for block in found] == [(24, 4, 4)] * 4
    assert all(block.gradients.any() for block in found)


def test_blocks_of_a_hierarchical_transformer_are_its_stages() -> None:
    module = small_swin()
    names = find_blocks(module, noise(64))
    assert names == ("layers.0", "layers.1", "layers")
    found = classifier(module, *names).block_maps(noise(64), [0])
    assert [block.maps.shape for block in found] == [(12, 16, 16), (24, 8, 8), (48, 4, 4)]


@pytest.mark.parametrize("method", ["sise", "ada_sise", "score_cam", "ablation_cam", "refine_cam"])
def test_methods_explain_transformers(method: str) -> None:
    for module, image in ((small_vit(), noise(32)), (small_swin(), noise(64))):
        network = classifier(module, *find_blocks(module, image))
        found = explained(method, network, image, 1)
        assert found.saliency.shape == image.shape[2:]
        assert found.saliency.isfinite().all()
        assert found.saliency.max() > 0
        if method == "sise":
            assert all(found.maps_kept or [0])


def test_cam_reads_the_maps_that_swin_averages() -> None:
    module, image = small_swin(), noise(64)
    with torch.no_grad():
        maps = module.forward_features(image)[0]
        expected = (maps @ module.head.fc.weight[2]).clamp(min=0)
    got = explained("cam", classifier(module, "layers"), image, 2).saliency
    assert expected.max() > 0
    wanted = nn.functional.interpolate(expected[None, None], (64, 64), mode="bilinear")[0, 0]
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


def test_the_last_output_behind_a_class_token_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'blocks.3': the output does not depend on its tokens"):
        check_blocks(small_vit(), noise(32), ["blocks.1", "blocks.3"])
    assert check_blocks(small_vit(), noise(32), ["blocks.3.norm1", "blocks.0"]) == (
        "blocks.0",
        "blocks.3.norm1",
    )


def test_a_wrong_number_of_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'blocks.1' gives no feature maps .* no tokens of such a grid"):
        check_blocks(small_vit(), noise(32), ["blocks.1"], tokens=2)
    network = replace(classifier(small_vit(), "blocks.1"), prefixes=(2,))
    with pytest.raises(ConfigError, match=r"layer 'blocks\.1' gives no feature maps"):
        explained("grad_cam", network, noise(32), 0)


def test_tokens_in_another_order_are_refused() -> None:
    """Columns before rows, and windows one after the other."""

    class Ordered(nn.Module):
        def __init__(self, order: torch.Tensor) -> None:
            super().__init__()
            self.patches, self.order = nn.Conv2d(3, 8, 4, stride=4), order
            self.units = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.GELU()) for _ in range(4)))
            self.head = nn.Linear(8, 4)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            tokens = self.patches(inputs).flatten(2).transpose(1, 2)[:, self.order]
            return self.head(self.units(tokens).mean(1))

    rows = torch.arange(64).view(8, 8)
    torch.manual_seed(0)
    found = find_blocks(Ordered(rows.flatten()).eval().requires_grad_(False), noise(32))
    assert found[1:] == ("units.1", "units.2", "units")
    for order in (rows.T.flatten(), rows.view(4, 2, 4, 2).permute(1, 3, 0, 2).flatten()):
        module = Ordered(order).eval().requires_grad_(False)
        with pytest.raises(ValueError, match="not in the order of the picture's positions"):
            check_blocks(module, noise(32), ["units.0", "units.3"])
