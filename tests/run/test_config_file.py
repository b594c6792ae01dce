"""Configuration: overrides, picks, and one clear line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from adasise_bench.run.config_file import load_config
from adasise_bench.utils.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture
def table1() -> Path:
    return CONFIGS / "table1.yaml"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid_and_takes_the_common_overrides(path: Path) -> None:
    load_config(path)
    changed = load_config(
        path,
        [
            "models={resnet50: {}}",
            "models.resnet50.checkpoint=w.pth",
            "data.root=/pictures",
            "data.year=2012",
            "data.image_set=val",
            "precision=bf16",
            "seed=7",
            "methods=[sise]",
        ],
    )
    assert changed.models["resnet50"].checkpoint == Path("w.pth")
    assert (changed.data.root, changed.data.year, changed.data.image_set) == (
        Path("/pictures"),
        "2012",
        "val",
    )
    assert (changed.precision, changed.seed, changed.methods[0].label) == ("bf16", 7, "sise")


def test_the_papers_configurations_say_what_the_paper_did() -> None:
    table1 = load_config(CONFIGS / "table1.yaml")
    assert set(table1.models) == {"vgg16", "resnet50"}
    assert [method.name for method in table1.methods] == ["extremal_perturbation", "sise", "ada_sise"]
    assert load_config(CONFIGS / "table2.yaml").data.sample == 500
    assert list(load_config(CONFIGS / "table2.yaml").models) == ["resnet50"]
    assert load_config(CONFIGS / "runtime.yaml").data.sample == 100


def test_another_data_set_changes_no_identity_of_voc(table1: Path) -> None:
    voc = {"year": "2007", "image_set": "test", "sample": None, "resize": "stretch", "input_size": 224}
    assert load_config(table1).identity()["data"] == voc
    coco = ["data={layout: coco}"]
    year = {"year": "2014", "image_set": "val"}
    base = load_config(table1, coco)
    assert base.identity()["data"] == voc | year | {"layout": "coco"}
    masks = load_config(table1, [*coco, "data.region=masks"])
    assert masks.identity()["data"] == voc | year | {"layout": "coco", "region": "masks"}
    own = load_config(table1, [*coco, "data.annotations=mine.json"])
    assert own.identity() == base.identity()
    assert len({config.digest() for config in (base, masks, own, load_config(table1))}) == 4
    assert load_config(table1, ["data.classes=[bat]"]).identity()["data"] == voc | {"classes": ["bat"]}


def test_methods_and_models_are_removed_and_picked(table1: Path) -> None:
    removed = load_config(table1, ["models.vgg16=null", "methods.extremal_perturbation=null"])
    assert list(removed.models) == ["resnet50"]
    assert [method.label for method in removed.methods] == ["sise", "ada_sise"]
    picked = load_config(table1, [], ["vgg16"], ["ada_sise", "sise"])
    assert list(picked.models) == ["vgg16"]
    assert [method.label for method in picked.methods] == ["ada_sise", "sise"]


def test_options_are_reached_by_label_and_index(table1: Path) -> None:
    config = load_config(table1, ["methods.extremal_perturbation.iterations=9", "methods.1.mu=0.3"])
    assert config.methods[0].iterations == 9  # type: ignore[attr-defined]
    assert config.methods[1].mu == 0.3  # type: ignore[attr-defined]


def test_presets_fill_what_is_not_given(table1: Path) -> None:
    method = load_config(table1, ["methods.extremal_perturbation.preset=single-area"]).methods[0]
    assert (method.areas, method.reward) == ((0.12,), "contrastive")  # type: ignore[attr-defined]


def test_the_digest_follows_what_changes_values_alone(table1: Path) -> None:
    base = load_config(table1).digest()
    for same in ("limit=5", "engine.batch_size=3", "save_maps=true", "device=cpu", "data.download=false"):
        assert load_config(table1, [same]).digest() == base, same
    for other in ("score=sigmoid", "data.resize=short-side", "methods.sise.mu=0.1", "precision=bf16",
                  "seed=1", "models.vgg16.checkpoint=x.pth", "methods.ada_sise=null"):  # fmt: skip
        assert load_config(table1, [other]).digest() != base, other


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.rot=x", "unknown key 'data.rot'; did you mean 'root'"),
        ("presicion=bf16", "unknown key 'presicion'; did you mean 'precision'"),
        ("models.resnet50.checkpont=x", "did you mean 'checkpoint'"),
        ("methods.sise.selektor=otsu", "did you mean 'selector'"),
        ("methods.sisse.mu=0", "did you mean 'sise'"),
        ("methods.sise.selector=best", "methods.sise: key 'selector'"),
        ("precision=fp8", "key 'precision'"),
        ("limit=0", "key 'limit'"),
        ("seed=[1]", "key 'seed'"),
        ("models.vgg19.checkpoint=x", "no model 'vgg19'"),
        ("models=null", "key 'models'"),
        ("methods=[]", "key 'methods'"),
        ("methods=[sise, sise]", "used twice"),
        ("methods=[grad_camm]", "no method 'grad_camm'"),
        ("methods=[3]", "a name or a mapping"),
        ("models.resnet50.blocks=pool-output", "resnet50"),
        ("data.root=embedded", "drawn scenes"),
        ("score.x=3", "key 'score'"),
        ("name.x=3", "no keys below"),
        ("novalue", "key=value"),
        ("seed={a: [}", "not valid YAML"),
        ("name=../../etc", "key 'name'"),
        ("models.foo=null", "no 'foo'; valid: vgg16, resnet50"),
        ("modelsx=null", "unknown key 'modelsx'; did you mean 'models'"),
        ("data.root.x=1", "--set data.root.x: "),
        ("methods.extremal_perturbation.sigma=.inf", "key 'sigma'"),
        ("methods.extremal_perturbation.smooth=.nan", "key 'smooth'"),
        ("methods.sise.label=..", "key 'label'"),
        ("seed=!!bool foo", "not valid YAML"),
        ("seed=!!map [a, b]", "not valid YAML"),
        ("seed=!!timestamp foo", "not valid YAML"),
    ],
)
def test_mistakes_are_named(table1: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(table1, [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_is_told_of_the_file_or_of_set(table1: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^--set, over {table1}: key 'limit'"):
        load_config(table1, ["seed=1", "limit=abc"])
    own = tmp_path / "own.yaml"
    own.write_text(table1.read_text() + "\nlimit: abc\n")
    with pytest.raises(ConfigError, match=rf"^{own}: key 'limit'"):
        load_config(own, ["seed=1"])


@pytest.mark.parametrize("override", ["methods=5", "methods=sise", "models=[vgg16]", "models=3"])
def test_picks_from_what_is_no_list_leave_the_message_to_validation(table1: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"key '(models|methods)'"):
        load_config(table1, [override], ["vgg16"], ["sise"])


def test_labels_with_dots_can_be_set_and_removed(table1: Path) -> None:
    methods = "methods=[sise, {name: sise, label: sise_mu0.3, mu: 0.3}]"
    changed = load_config(table1, [methods, "methods.sise_mu0.3.mu=0.2"])
    assert [method.mu for method in changed.methods] == [0, 0.2]  # type: ignore[attr-defined]
    removed = load_config(table1, [methods, "methods.sise_mu0.3=null"])
    assert [method.label for method in removed.methods] == ["sise"]


def test_a_small_sliding_window_is_refused(table1: Path) -> None:
    small = ["data.resize=short-side", "data.input_size=192"]
    with pytest.raises(ConfigError, match="vgg16 needs at least 193"):
        load_config(table1, small)
    assert load_config(table1, small, ["resnet50"]).data.input_size == 192


def test_a_file_name_with_spaces_still_names_the_run(tmp_path: Path) -> None:
    path = tmp_path / "my conf (2).yaml"
    path.write_text("models: {resnet50: {}}\nmethods: [sise]\n")
    assert load_config(path).name == "my-conf-2-"


def test_shared_forwards_have_no_time_to_warm_up_for(table1: Path) -> None:
    with pytest.raises(ConfigError, match=r"set timing\.warmup to 0"):
        load_config(table1, ["share_forwards=true", "timing.warmup=1"])


def test_unknown_picks_are_named(table1: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'resnet50'"):
        load_config(table1, [], ["resnet5"])
    with pytest.raises(ConfigError, match="valid: extremal_perturbation, sise, ada_sise"):
        load_config(table1, [], [], ["xyz"])
    with pytest.raises(ConfigError, match=r"no 'rize'; valid: extremal_perturbation, ada_sise \(--set"):
        load_config(table1, [], [], ["sise", "rize"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x", "anchors"),
        ("seed: 1\nseed: 2", r"key 'seed' is given twice \(line 2, column 1\)$"),
        ("a: &x 1\nb: *x", r"anchors and aliases are not allowed \(line 2, column 4\)$"),
        ("a:\n  b: 9999999999999999999999", r"99... is too large \(line 2, column 6\)$"),
        ('a: "\\ud800"', r"half a character \(line 1, column 4\)$"),
        ("a: x\nb: 2024-13-45", r"'2024-13-45' is no timestamp; put it in quotes .* \(line 2, column 4\)$"),
        ("a: [!!float x]", r"'x' is no float; put it in quotes if it is a text \(line 1, column 5\)$"),
        ("a: !!timestamp x", r"'x' is no timestamp; put it in quotes if it is a text \(line 1, column 4\)$"),
        ("a: !!bool x", r"'x' is no bool; put it in quotes if it is a text \(line 1, column 4\)$"),
        ("!!python/object/apply:os.system ['touch hacked']", "not valid YAML"),
        ("- a\n- b", "maps keys to values, such as `seed: 0`; `ls configs` names"),
        ("5", "maps keys to values"),
        (
            "name: x\nmethods: [a\nseed: 1",
            r"got ':' \(line 3, column 5\), while parsing a flow seq.* \(line 2, column 10\)$",
        ),
        (
            "a: \x07",
            r"not valid YAML: unacceptable character #x0007: special characters are not allowed, position 3$",
        ),
        ("", "mapping"),
        ("a: [", "not valid YAML"),
        ("1: x\nmodels: {}", "1"),
    ],
)
def test_hostile_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert "bad.yaml" in str(caught.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "binary.yaml")


def test_extra_metrics_are_named_once_in_one_order_and_corrected(table1: Path) -> None:
    plain = load_config(table1)
    assert plain.extra_metrics == ()
    assert "measures" not in plain.identity()
    some = load_config(table1, ["extra_metrics=[deletion, insertion, deletion]"])
    assert some.extra_metrics == ("insertion", "deletion")
    assert some.identity() == plain.identity() | {"measures": ["insertion", "deletion"]}
    assert some.digest() == load_config(table1, ["measures=[insertion, deletion]"]).digest() != plain.digest()
    with pytest.raises(ConfigError, match=r"no metric 'insrtion'; did you mean 'insertion'\?"):
        load_config(table1, ["extra_metrics=[insrtion]"])
    with pytest.raises(ConfigError, match=r"'extra_metrics': write a list, .*given: 'insertion'"):
        load_config(table1, ["extra_metrics=insertion"])
    with pytest.raises(ConfigError, match="only one of them"):
        load_config(table1, ["measures=[insertion]", "extra_metrics=[insertion]"])
