"""The rules of the authors' code: what each computes, and that every one is a setting of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adasise_bench.data.boxes import Box, box_mask
from adasise_bench.data.dataset import Annotation
from adasise_bench.data.rules import PROTOCOL, SETS, Rules
from adasise_bench.data.transforms import CAFFE, Preprocessing, to_input
from adasise_bench.methods.sise.fusion import fuse, otsu_thresholds, raised_where_few
from adasise_bench.metrics import METRICS, bbox, chance, miou, shown_part
from adasise_bench.metrics.pixels import pixel_order, top_pixels
from adasise_bench.metrics.registry import DEFINITIONS, definitions
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import load_config, validate
from adasise_bench.utils.errors import ConfigError

AUTHORS = Rules.model_validate("authors-code")
MAPS = st.lists(st.integers(0, 4), min_size=12, max_size=12).map(
    lambda values: torch.tensor(values, dtype=torch.float32).view(3, 4)
)


def strictly_above(saliency: torch.Tensor, count: int) -> torch.Tensor:
    """The pixels above the value that stands after ``count`` others, by a plain loop."""
    values = sorted(saliency.flatten().tolist(), reverse=True)
    marked = [count == len(values) or value > values[count] for value in saliency.flatten().tolist()]
    return torch.tensor(marked).view(saliency.shape)


@given(MAPS, st.integers(0, 12))
def test_strict_ties_are_those_of_a_plain_loop(saliency: torch.Tensor, count: int) -> None:
    top = top_pixels(saliency, count, ties="strict")
    assert torch.equal(top, strictly_above(saliency, count))
    assert torch.equal(top, top_pixels(saliency, count, pixel_order(saliency), "strict"))
    assert int(top.sum()) <= count
    assert not (top & ~top_pixels(saliency, count)).any()


@given(st.permutations(range(12)), st.integers(0, 12))
def test_without_equal_pixels_both_rules_take_the_same(values: list[int], count: int) -> None:
    saliency = torch.tensor(values, dtype=torch.float32).view(3, 4)
    assert torch.equal(top_pixels(saliency, count, ties="strict"), top_pixels(saliency, count))


def test_strict_bbox_still_divides_by_the_size_of_the_region() -> None:
    saliency = torch.tensor([[9.0, 5.0, 5.0, 5.0]])
    inside = torch.tensor([[True, True, True, False]])
    assert bbox(saliency, inside) == 100
    assert bbox(saliency, inside, ties="strict") == pytest.approx(100 / 3)  # only the 9 is above 5
    assert bbox(torch.ones(1, 4), inside, ties="strict") == 0


def test_strict_miou_and_the_shown_part_take_fewer_pixels() -> None:
    saliency = torch.zeros(4, 5)
    saliency[0, :3] = torch.tensor([3.0, 2.0, 1.0])
    inside = torch.zeros(4, 5, dtype=torch.bool)
    inside[0, :2] = inside[0, 4] = True
    assert miou(saliency, inside) == 40  # the highest four: three pixels above 0, and the first 0
    assert miou(saliency, inside, ties="strict") == 50
    saliency[0, 2] = 0  # of 20 pixels, 15 % are three: two above 0, and the first 0
    image = torch.ones(1, 1, 4, 5)
    assert shown_part(image, saliency).sum() == 3
    assert shown_part(image, saliency, ties="strict").sum() == 2
    assert miou(saliency, inside, ties="strict") == pytest.approx(200 / 3)


@given(MAPS, st.lists(st.integers(0, 11), min_size=1, unique=True))
def test_chance_levels_follow_the_rule_for_ties(saliency: torch.Tensor, pixels: list[int]) -> None:
    saliency[0, 0] += 1  # some energy
    inside = torch.zeros(12, dtype=torch.bool)
    inside[pixels] = True
    found = chance.FixedMap.of(saliency, "strict").metrics(np.array(sorted(pixels)))
    assert found["bbox"] == pytest.approx(bbox(saliency, inside.view(3, 4), ties="strict"))
    assert found["miou"] == pytest.approx(miou(saliency, inside.view(3, 4), ties="strict"))


@pytest.mark.parametrize("frame", [224, 96])
@pytest.mark.parametrize("corners", [(1, 1, 500, 375), (48, 240, 195, 371), (7, 7, 7, 7), (500, 375) * 2])
def test_corners_without_the_minus_one(corners: tuple[int, int, int, int], frame: int) -> None:
    annotation = Annotation((500, 375), (Box("dog", *corners),))
    xmin, ymin, xmax, ymax = corners
    expected = torch.zeros(frame, frame, dtype=torch.bool)
    left, top = (min(round(at * frame / side), frame - 1) for at, side in ((xmin, 500), (ymin, 375)))
    right, bottom = round(xmax * frame / 500), round(ymax * frame / 375)
    expected[top : max(bottom, top + 1), left : max(right, left + 1)] = True
    assert torch.equal(annotation.with_corners("no-minus-one").inside("dog", (frame, frame)), expected)
    assert annotation.with_corners("minus-one") is annotation


def test_a_turned_box_has_no_corner_of_voc() -> None:
    box = Box("dog", 11, 28, 50, 33, rotation=30)
    annotation = Annotation((60, 60), (box,)).with_corners("no-minus-one")
    assert torch.equal(annotation.inside("dog", (60, 60)), box_mask([box], (60, 60), (60, 60)))


@pytest.mark.parametrize("of_network", [CAFFE, Preprocessing(255, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))])
def test_inputs_are_pillows_lanczos_filter_and_nothing_else(of_network: Preprocessing) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    found = to_input(picture, "stretch", 32, of_network.by_rule("unnormalised-antialiased"))
    expected = np.asarray(picture.resize((32, 32), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    assert np.array_equal(found[0].numpy(), expected.astype(np.float32))
    wide = to_input(picture, "short-side", 32, of_network.by_rule("unnormalised-antialiased"))
    assert wide.shape == (1, 3, 32, 45)
    assert of_network.by_rule("normalised") is of_network


def test_only_another_preprocessing_says_that_it_is_antialiased() -> None:
    assert CAFFE.facts() == {"scale": 255, "mean": CAFFE.mean, "std": CAFFE.std}
    assert CAFFE.by_rule("unnormalised-antialiased").facts()["antialias"] is True


def _two_levels(high: int) -> torch.Tensor:
    """100 pixels: ``high`` of them are 1, one is 0.5 and the others 0."""
    layer = torch.zeros(100)
    layer[:high], layer[high] = 1, 0.5
    return layer.view(10, 10)


@pytest.mark.parametrize(("high", "raised"), [(5, True), (9, True), (10, False), (30, False)])
def test_otsu_is_raised_where_fewer_than_a_tenth_reach_the_raised_threshold(high: int, raised: bool) -> None:
    layer = _two_levels(high)[None]
    limit = torch.tensor([0.4])  # high + 1 pixels are above, and high of them above 0.6
    assert raised_where_few(layer, limit).item() == pytest.approx(0.6 if raised else 0.4)


@pytest.mark.parametrize("fusion", ["hard", "soft"])
def test_fusion_with_raised_thresholds_is_that_of_a_plain_loop(fusion: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    layers = [torch.rand(12, 12, generator=generator) ** power for power in (1, 1, 20)]
    fused, counts = layers[0].double(), []
    for layer in layers[1:]:
        limit = float(otsu_thresholds(layer[None]).float())
        reaching = sum(value >= 1.5 * limit for value in layer.flatten().tolist())
        counts.append(reaching)
        limit *= 1.5 if reaching < 0.1 * layer.numel() else 1
        gate = torch.sigmoid(100 * (layer - limit)) if fusion == "soft" else (layer > limit).float()
        fused = (fused + layer) * gate
    assert min(counts) < 14.4 <= max(counts)
    expected = (fused - fused.min()) / (fused.max() - fused.min())
    found = fuse(layers, fusion, "raised")
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)
    assert not torch.allclose(found, fuse(layers, fusion), atol=1e-3)


def _config(rules: Any = None, **other: Any) -> RunConfig:
    tree: dict[str, Any] = {
        "data": {"root": "embedded", "input_size": 48},
        "models": {"scenes_vgg": {}},
        "methods": ["sise", {"name": "sise", "label": "plain", "otsu": "plain"}, "grad_cam"],
        **other,
    }
    return validate(tree if rules is None else tree | {"rules": rules}, "test")


def test_protocol_is_the_default_and_leaves_no_trace_in_the_identity() -> None:
    default = _config()
    assert default.rules == PROTOCOL == Rules.model_validate("protocol")
    for same in ("protocol", {}, {"ties": "row-major"}, {"set": "protocol"}):
        assert _config(same).digest() == default.digest()
    assert "rules" not in default.identity()
    assert not any("otsu" in entry for entry in default.identity()["methods"].values())
    assert definitions(PROTOCOL) == DEFINITIONS


@pytest.mark.parametrize("name", list(Rules.model_fields))
def test_every_rule_alone_has_an_identity_of_its_own(name: str) -> None:
    changed = _config({name: SETS["authors-code"][name]})
    assert changed.digest() != _config().digest()
    assert changed.rules.changed() == {name: SETS["authors-code"][name]}
    assert changed.identity()["rules"] == PROTOCOL.model_dump() | changed.rules.changed()
    back = _config({"set": "authors-code", name: SETS["protocol"][name]})
    assert set(back.rules.changed()) == set(Rules.model_fields) - {name}
    again = RunConfig.model_validate(changed.model_dump(mode="json"))
    assert again.identity() == changed.identity()


def test_an_entry_may_keep_its_own_threshold() -> None:
    config = _config("authors-code")
    assert [getattr(method, "otsu", None) for method in config.methods] == ["raised", "plain", None]
    again = RunConfig.model_validate(config.model_dump(mode="json"))
    assert again.identity() == config.identity()
    assert config.methods[0].evidence() == {"sise.otsu": "otsu-raised1.5-reached10-v1"}
    assert config.methods[1].evidence() == {}


def test_other_rules_can_be_set_on_the_file_that_a_run_wrote(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(_config().written()))
    assert load_config(path).identity() == _config().identity()
    changed = load_config(path, ["rules=authors-code"])
    assert [getattr(method, "otsu", None) for method in changed.methods] == ["raised", "plain", None]
    path.write_text(yaml.safe_dump(_config("authors-code").written()))
    back = load_config(path, ["rules=protocol"])
    assert [getattr(method, "otsu", None) for method in back.methods] == ["plain", "plain", None]


def test_definitions_name_the_rules_that_move_them() -> None:
    strict, corners = definitions(Rules(ties="strict")), definitions(Rules(corners="no-minus-one"))
    changed = {name for name in DEFINITIONS if strict[name] != DEFINITIONS[name]}
    assert changed == {"bbox", "drop", "increase", "miou", "average_gain"}
    changed = {name for name in DEFINITIONS if corners[name] != DEFINITIONS[name]}
    assert changed == {"ebpg", "bbox", "miou", "pointing", "pointing_difficult"}
    assert strict["bbox"] == "bbox-topN-strict-v1"
    assert METRICS["miou"].definition_under(AUTHORS) == "miou-top20-strict-no-minus-one-v1"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("authors", "did you mean 'authors-code'?"),
        ({"set": "paper"}, "valid: protocol, authors-code"),
        ({"tie": "strict"}, "did you mean 'ties'?"),
        ({"ties": "strikt"}, "did you mean 'strict'?"),
        ({"otsu": None}, "valid: plain, raised"),
        ([1], "write protocol, authors-code or a mapping"),
        (3, "write protocol, authors-code or a mapping"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_nearest(rules: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _config(rules)
    assert said in str(caught.value)
    assert "rules" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_coco_has_no_minus_one_to_leave_out() -> None:
    coco = {"data": {"layout": "coco"}, "models": {"resnet50": {}}}
    with pytest.raises(ConfigError, match=r"set rules\.corners to minus-one"):
        _config("authors-code", **coco)
    assert _config({"set": "authors-code", "corners": "minus-one"}, **coco).rules.ties == "strict"


def test_one_rule_of_a_named_set_can_be_changed_on_the_command_line() -> None:
    path = Path(__file__).parents[2] / "configs/authors_code.yaml"
    assert load_config(path).rules == AUTHORS
    assert load_config(path, ["rules.otsu=plain"]).rules == AUTHORS.model_copy(update={"otsu": "plain"})
    table1 = load_config(path.with_name("table1.yaml"), ["rules=authors-code", "name=authors_code"])
    assert table1.identity() == load_config(path).identity()
