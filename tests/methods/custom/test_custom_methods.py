"""Functions of the user's own as methods: what they are given, what is made of their maps, what is undone."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import explained, make_classifier
from hostile.refusals import command, refused
from torch import nn

from adasise_bench.cli import main
from adasise_bench.methods import Request
from adasise_bench.methods.custom import custom
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models.classifier import Classifier
from adasise_bench.records.reading import read_records
from adasise_bench.run.config_file import load_config, validate
from adasise_bench.utils import plugins
from adasise_bench.utils.errors import BenchError, ConfigError
from adasise_bench.utils.timing import PhaseClock

SOURCE = """
import os
import random
import numpy as np
import torch

def saliency(model, image, target, power=1.0):
    model(image)[0, target].backward()
    return image.grad.abs().amax(dim=1)[0] ** power

def forwards_only(model, image, target):
    with torch.no_grad():
        for count in (1, 2, 3):
            model(image.expand(count, -1, -1, -1))
    return torch.ones(image.shape[2:])

def random_map(model, image, target):
    noise = random.random() + np.random.rand() + torch.rand(()).item()
    return torch.rand(image.shape[2:]) + noise

def vandal(model, image, target):
    with torch.no_grad():
        image.zero_()
        next(model.parameters()).add_(1)
        model.head.weight = torch.nn.Parameter(torch.zeros_like(model.head.weight))
    model.train().requires_grad_(True)
    model.features[1] = torch.nn.Identity()
    model.register_forward_hook(lambda *_: None)
    model.features[0].register_forward_pre_hook(lambda *_: None)
    model.forward = lambda x: x
    raise SystemExit("planted")

class Guided(torch.nn.ReLU):
    def forward(self, x):
        return super().forward(x) * 2

def swaps_classes(model, image, target):
    for part in model.modules():
        if type(part) is torch.nn.ReLU:
            part.__class__ = Guided
    return saliency(model, image, target)

def patches_classes(model, image, target):
    torch.nn.ReLU.forward = lambda self, x: x.abs()
    torch.nn.ReLU.__call__ = lambda self, x: x * 3
    return saliency(model, image, target)

def hooks_parameters(model, image, target):
    weight = next(model.parameters()).requires_grad_()
    weight.register_hook(lambda gradient: gradient * 3)
    return saliency(model, image, target)

def writes_elsewhere(model, image, target):
    model.offset.add_(1)
    model.offsets.append(model.offset)
    return saliency(model, image, target)

def leaks(model, image, target):
    torch.set_default_dtype(torch.float16)
    torch.set_grad_enabled(False)
    torch.backends.cudnn.benchmark = True
    torch.nn.modules.module.register_module_forward_hook(lambda _m, _i, out: out * 1.01)
    torch.nn.functional.relu = torch.nn.functional.relu6
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    os.environ["OMP_NUM_THREADS"] = "64"
    os.chdir("/")
    return torch.ones(image.shape[2:])

buffer = torch.zeros(48, 40)

def own_buffer(model, image, target):
    return buffer.copy_(saliency(model, image, target))

def numpy_view(model, image, target):
    return own_buffer(model, image, target)[None].numpy()

def uses_up(model, image, target, areas=()):
    areas.clear()
    return torch.ones(image.shape[2:])

def fails(model, image, target):
    raise ValueError("no\\nway")

def of_shape(model, image, target, shape=(), low=0.0, numpy=False, dtype="float32"):
    values = torch.linspace(low, 1, torch.Size(shape).numel()).reshape(shape)
    return values.numpy().astype(dtype) if numpy else values.to(getattr(torch, dtype))

def text(model, image, target):
    return "a map"

def of_kind(model, image, target, kind):
    values = torch.linspace(0, 1, 48 * 40).reshape(48, 40)
    return {
        "big-endian": lambda: values.numpy().astype(">f4"),
        "big-endian integers": lambda: (values * 100).numpy().astype(">i8"),
        "long double": lambda: values.numpy().astype(np.longdouble),
        "half": lambda: values.half(),
        "read-only": lambda: np.broadcast_to(values.numpy(), (1, 48, 40)),
        "no mask": lambda: np.ma.masked_array(values.numpy()),
        "sparse": lambda: values.to_sparse(),
        "sparse rows": lambda: values.to_sparse_csr(),
        "meta": lambda: values.to("meta"),
        "masked": lambda: np.ma.masked_array(values.numpy(), values.numpy() > 0.5),
        "structured": lambda: np.zeros((48, 40), dtype=[("a", "f4")]),
        "objects": lambda: values.numpy().astype(object),
        "nested": lambda: torch.nested.nested_tensor([values]),
        "double": lambda: 1 + 1e-12 * values.double(),
        "tiny": lambda: 1e-60 * values.double(),
        "flat": lambda: torch.ones(48, 40, dtype=torch.float64),
        "large integers": lambda: 2**40 + (100 * values).long(),
    }[kind]()

def speechless(model, image, target):
    class Wordless(RuntimeError):
        def __str__(self):
            raise ValueError("no")
    raise Wordless

number = 3
"""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``mine`` in the working directory, imported by nobody so far."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    plugins.load.cache_clear()
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def entry(function: str, **options: Any) -> dict[str, Any]:
    return {"name": f"mine:{function}", "options": options}


def test_a_function_gets_raw_outputs_and_differentiates_them(tiny: Classifier, image: torch.Tensor) -> None:
    explanation = explained(entry("saliency", power=2), tiny, image, 2)
    leaf = image.clone().requires_grad_()
    tiny.module(leaf)[0, 2].backward()
    assert leaf.grad is not None
    torch.testing.assert_close(explanation.saliency, leaf.grad.abs().amax(dim=1)[0] ** 2)
    assert (explanation.forwards, explanation.backwards) == (1, 1)
    assert explanation.saliency.max() > 0


def test_inputs_are_counted_not_calls(tiny: Classifier, image: torch.Tensor) -> None:
    explanation = explained(entry("forwards_only"), tiny, image, 0)
    assert (explanation.forwards, explanation.backwards) == (6, 0)


def test_outputs_of_a_fully_convolutional_network_are_averaged(image: torch.Tensor) -> None:
    module = nn.Conv2d(3, 4, 5, stride=4)
    sliding = make_classifier(module, ("",), tuple("abcd"))
    got = explained(entry("saliency"), sliding, image, 1).saliency
    leaf = image.clone().requires_grad_()
    sliding.outputs(leaf)[0, 1].backward()
    assert leaf.grad is not None
    torch.testing.assert_close(got, leaf.grad.abs().amax(dim=1)[0])


def test_random_numbers_begin_at_the_seed_and_nobody_elses_move(
    tiny: Classifier, image: torch.Tensor
) -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    wanted = random.random(), np.random.rand(), torch.rand(2).tolist()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first = explained(entry("random_map"), tiny, image, 0, seed=2**63 - 1).saliency
    assert (random.random(), np.random.rand(), torch.rand(2).tolist()) == wanted
    again = explained(entry("random_map"), tiny, image, 0, seed=2**63 - 1).saliency
    other = explained(entry("random_map"), tiny, image, 0, seed=7).saliency
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_whatever_is_done_to_the_network_is_undone(tiny: Classifier, image: torch.Tensor) -> None:
    module, before = tiny.module, image.clone()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    outputs, maps = module(image), explained(entry("saliency"), tiny, image, 1).saliency
    for _ in range(2):
        with pytest.raises(BenchError, match=r"mine:vandal: SystemExit: planted \(mine\.py:\d+\)$"):
            explained(entry("vandal"), tiny, image, 1)
    assert torch.equal(image, before)
    assert state.keys() == module.state_dict().keys()
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not any(
        part.training or part._forward_hooks or part._forward_pre_hooks for part in module.modules()
    )
    assert torch.equal(module(image), outputs)
    assert torch.equal(explained(entry("saliency"), tiny, image, 1).saliency, maps)


def fingerprint(module: nn.Module) -> dict[str, Any]:
    """What a network is made of and what it does, and how torch and the process are set."""
    picture = torch.linspace(-1, 1, 3 * 48 * 40).reshape(1, 3, 48, 40)
    leaf = picture.clone().requires_grad_()
    with torch.enable_grad():
        module(leaf)[0, 1].backward()
    assert leaf.grad is not None
    return {
        "outputs": module(picture).tolist(),
        "gradient": leaf.grad.tolist(),
        "parts": [(type(part), part.training, sorted(vars(part))) for part in module.modules()],
        "hooks": [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()],
        "parameters": [
            (name, value.tolist(), value.requires_grad, value.grad, dict(value._backward_hooks or {}))
            for name, value in module.named_parameters()
        ],
        "other": (getattr(module, "offset", None), len(getattr(module, "offsets", ()))),
        "torch": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.backends.cudnn.benchmark),
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),  # type: ignore[index]
        "process": (Path.cwd(), os.environ.get("OMP_NUM_THREADS")),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["swaps_classes", "patches_classes", "hooks_parameters", "writes_elsewhere", "leaks", "saliency"]
)
def test_network_and_process_are_as_before(tiny: Classifier, image: torch.Tensor, name: str) -> None:
    tiny.module.offset, tiny.module.offsets = torch.zeros(1), [1]  # type: ignore[assignment]
    before = fingerprint(tiny.module)
    ours = explained("gradient", tiny, image, 1).saliency
    first = explained(entry(name), tiny, image, 1).saliency
    second = explained(entry(name), tiny, image, 1).saliency
    assert fingerprint(tiny.module) == before
    assert torch.equal(explained("gradient", tiny, image, 1).saliency, ours)
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["own_buffer", "numpy_view"])
def test_a_buffer_that_is_written_again_changes_no_earlier_map(
    tiny: Classifier, image: torch.Tensor, name: str
) -> None:
    method = parse_method(entry(name))
    requests = [Request(method, image, target) for target in (0, 1)]
    together = [found.saliency for found in method.explain_together(tiny, requests)]
    alone = [explained(entry("saliency"), tiny, image, target).saliency for target in (0, 1)]
    assert not torch.equal(alone[0], alone[1])
    for found, wanted in zip(together, alone, strict=True):
        assert torch.equal(found, wanted)


def test_options_are_copies(tiny: Classifier, image: torch.Tensor) -> None:
    method = parse_method(entry("uses_up", areas=[1, 2]))
    method.explain(tiny, Request(method, image, 0), PhaseClock(tiny.device))
    assert method.changed_options() == {"areas": [1, 2]}


def test_what_cannot_be_undone_is_the_records_error(
    tiny: Classifier, image: torch.Tensor, mine: Path
) -> None:
    mine.write_text(SOURCE + "mode = torch.inference_mode()\ndef stays(*_):\n    mode.__enter__()\n")
    try:
        refused(
            lambda: explained(entry("stays"), tiny, image, 0), "mine:stays: changed torch's inference mode"
        )
    finally:
        plugins.load("mine:mode").__exit__(None, None, None)


def test_an_import_sets_nothing_for_the_process(tiny: Classifier, image: torch.Tensor, mine: Path) -> None:
    mine.write_text(
        SOURCE + "torch.set_default_dtype(torch.float64)\nos.chdir('/')\nDRAWN = random.random()\n"
    )
    before = fingerprint(tiny.module)
    parsed = plugins.load("mine:DRAWN")
    assert fingerprint(tiny.module) == before
    assert parsed == random.Random(0).random()


@pytest.mark.parametrize("shape", [(48, 40), (1, 1, 48, 40), (12, 10), (1, 7, 5)])
@pytest.mark.parametrize(("numpy", "dtype"), [(False, "float32"), (True, "float64"), (True, "uint8")])
def test_maps_of_any_kind_and_size_become_float32_of_the_inputs_size(
    tiny: Classifier, image: torch.Tensor, shape: tuple[int, ...], numpy: bool, dtype: str
) -> None:
    saliency = explained(entry("of_shape", shape=shape, numpy=numpy, dtype=dtype), tiny, image, 0).saliency
    assert (saliency.shape, saliency.dtype) == ((48, 40), torch.float32)
    assert saliency[0, 0] < saliency[-1, -1] == 1
    if shape == (12, 10):
        small = torch.linspace(0, 1, 120).reshape(1, 1, 12, 10)
        if dtype != "uint8":
            large = torch.nn.functional.interpolate(small, (48, 40), mode="bilinear")
            torch.testing.assert_close(saliency, large[0, 0])


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    {
        "big-endian": 0, "big-endian integers": 0.01, "long double": 0, "half": 1e-3, "read-only": 0,
        "no mask": 0, "sparse": 0, "sparse rows": 0,
    }.items(),
)  # fmt: skip
def test_maps_of_odd_kinds_are_maps(
    tiny: Classifier, image: torch.Tensor, kind: str, tolerance: float
) -> None:
    saliency = explained(entry("of_kind", kind=kind), tiny, image, 0).saliency
    expected = torch.linspace(0, 1, 48 * 40).reshape(48, 40)
    scale = 100 if "integers" in kind else 1
    assert (saliency.dtype, saliency.layout) == (torch.float32, torch.strided)
    torch.testing.assert_close(saliency / scale, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("double", "float64"),
        ("tiny", "float64"),
        ("large integers", "int64"),
        ("flat", ""),
        ("big-endian", ""),
    ],
)
def test_a_map_that_float32_makes_flat_is_named_once(
    tiny: Classifier, image: torch.Tensor, capsys: pytest.CaptureFixture[str], kind: str, told: str
) -> None:
    custom._say_once.cache_clear()
    for _ in range(2):
        saliency = explained(entry("of_kind", kind=kind), tiny, image, 0).saliency
    assert bool((saliency == saliency[0, 0]).all()) == (kind != "big-endian")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == bool(told)
    assert all(f"mine:of_kind: gave a map in {told}" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("of_kind", {"kind": "meta"}, "meta device, which has no values"),
        ("of_kind", {"kind": "masked"}, "masked array"),
        ("of_kind", {"kind": "structured"}, "not a map of real numbers"),
        ("of_kind", {"kind": "objects"}, "not a map of real numbers"),
        ("of_kind", {"kind": "nested"}, ""),
        ("speechless", {}, "Wordless: its message cannot be read (mine.py:"),
        ("of_shape", {"shape": (3, 48, 40)}, "shape (3, 48, 40), not (H, W)"),
        ("of_shape", {"shape": ()}, "shape ()"),
        ("of_shape", {"shape": (0, 4)}, "shape (0, 4)"),
        ("of_shape", {"shape": (4, 4), "dtype": "complex64"}, "not a map of real numbers"),
        ("of_shape", {"shape": (4, 4), "low": -0.5}, "down to -0.5; clamp or shift it"),
        ("text", {}, "gave a str"),
        ("fails", {}, "mine:fails: ValueError: no way (mine.py:"),
    ],
)
def test_what_is_no_map_is_one_line(
    tiny: Classifier, image: torch.Tensor, name: str, options: dict[str, Any], named: str
) -> None:
    refused(lambda: explained(entry(name, **options), tiny, image, 0), f"mine:{name}", named)


def test_negative_values_are_clamped_where_asked(tiny: Classifier, image: torch.Tensor) -> None:
    asked = entry("of_shape", shape=(48, 40), low=-1.0) | {"negative": "clamp"}
    saliency = explained(asked, tiny, image, 0).saliency
    assert saliency.min() == 0
    assert (saliency == 0).float().mean() == pytest.approx(0.5, abs=0.01)
    assert parse_method(asked).changed_options() == {"shape": [48, 40], "low": -1, "negative": "clamp"}


def config(*methods: Any) -> dict[str, Any]:
    return {
        "data": {"root": "embedded", "input_size": 32},
        "models": {"scenes_vgg": {}},
        "methods": list(methods),
        "limit": 2,
        "engine": {"layout": "contiguous", "batch_size": 8},
    }


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("mine:salincy", "no attribute 'salincy'"),
        ("nowhere:saliency", "No module named 'nowhere'; modules are searched among the installed ones, and"),
        ("mine:number", "cannot be called"),
        ("broken:f", "broken:f: cannot be imported: RuntimeError: planted (broken.py:1)"),
        ("leaves:f", "leaves:f: cannot be imported: SystemExit: 3 (leaves.py:1)"),
        (entry("saliency", sigma=3), "got an unexpected keyword argument 'sigma'"),
        ({"name": "mine:saliency", "sigma": 3}, "unknown key 'sigma'"),
        (":", "write it as module:function"),
        ("mine:", "write it as module:function"),
        ("sies", "did you mean 'sise'"),
    ],
)
def test_what_cannot_be_called_is_refused_before_anything_runs(
    tmp_path: Path, asked: Any, named: str
) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('planted')")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    refused(lambda: validate(config(asked), "test"), named, kind=ConfigError)


def test_labels_and_settings_go_by_the_functions_name(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config("sise", "mine:saliency")))
    loaded = load_config(path, ["methods.saliency.options.power=3"], methods=["saliency"])
    (method,) = loaded.methods
    assert (method.label, method.changed_options()) == ("saliency", {"power": 3})


def test_only_a_run_imports_the_module(mine: Path) -> None:
    """Reading somebody else's results executes nothing."""
    from adasise_bench.run.config import RunConfig

    mine.write_text("raise RuntimeError('executed')")
    RunConfig.model_validate(config("mine:saliency"))
    with pytest.raises(ConfigError, match="executed"):
        validate(config("mine:saliency"), "test")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    def call(*methods: Any, code: int = 0) -> Any:
        (tmp_path / "config.yaml").write_text(json.dumps(config(*methods)))
        result = command("run", "--config", tmp_path / "config.yaml", "--output", tmp_path / "out")
        assert result.exit_code == code, result.output
        return result

    return call


def test_a_run_records_values_and_failures_and_the_source(
    run: Callable[..., Any], mine: Path, tmp_path: Path
) -> None:
    labelled = entry("saliency", power=2.0) | {"label": "squared"}
    run("mine:saliency", labelled, "mine:fails", code=1)
    notes = command("table", tmp_path / "out", "--notes", "all").stdout
    assert "squared: options that are not the default: power=2.0" in " ".join(notes.split())
    records = read_records(Path("out"))
    good, bad = records[records["method"] != "fails"], records[records["method"] == "fails"]
    assert good["error"].isna().all()
    assert good[["ebpg", "drop", "seconds"]].notna().all(axis=None)
    assert set(good["forwards"]) == set(good["backwards"]) == {1}
    assert bad["error"].str.startswith("mine:fails: ValueError: no way (mine.py:").all()
    assert bad["ebpg"].isna().all()
    definitions = json.loads(Path("out/environment.json").read_text())["definitions"]
    assert definitions["mine:saliency"] == plugins.definition("mine:saliency")
    mine.write_text(SOURCE + "# changed\n")
    assert "definitions.mine:saliency" in run("mine:saliency", labelled, "mine:fails", code=5).stderr


def test_values_do_not_depend_on_the_order_of_methods(run: Callable[..., Any], tmp_path: Path) -> None:
    def maps() -> dict[str, list[float]]:
        records = read_records(tmp_path / "out").sort_values(["image_id", "class_name"])
        return {name: group["ebpg"].tolist() for name, group in records.groupby("method")}

    run("mine:vandal", "mine:random_map", "mine:saliency", "sise", code=1)
    first = maps()
    (tmp_path / "out").rename(tmp_path / "first")
    run("sise", "mine:saliency", "mine:random_map")
    assert {name: values for name, values in first.items() if name != "vandal"} == maps()


@pytest.mark.parametrize("shared", [True, False])
def test_relative_paths_hold_where_a_method_leaves_the_folder(tmp_path: Path, shared: bool) -> None:
    """Pictures, the run folder and maps are named from where the command was given."""
    (tmp_path / "c.json").write_text(
        json.dumps(config("mine:leaks", "gradient") | {"share_forwards": shared})
    )
    result = command("run", "--config", "c.json", "--output", "out", "--save-maps")
    assert result.exit_code == 0, result.output
    assert read_records(tmp_path / "out")["error"].isna().all()
    (tmp_path / "alone.json").write_text(json.dumps(config("gradient")))
    assert command("run", "--config", "alone.json", "--output", "alone").exit_code == 0
    both = [read_records(tmp_path / name).query("method == 'gradient'") for name in ("out", "alone")]
    assert both[0]["ebpg"].tolist() == both[1]["ebpg"].tolist()


def install(folder: Path, **points: str) -> None:
    """What pip leaves of a package with entry points."""
    info = folder / "my_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.2\n")
    listed = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[adasise_bench.methods]\n{listed}")


OPTIONS_CLASS = """
from typing import Literal
import torch
from adasise_bench.methods import Explanation, Method

class Flat(Method):
    name: Literal["flat"] = "flat"
    height: float = 1.0

    def explain(self, classifier, request, clock):
        return Explanation(torch.full(request.image.shape[2:], self.height), 0, 0)

    def expected_forwards(self, maps_available):
        return 0
"""


VANDAL_CLASS = """
from typing import Literal
import torch
from adasise_bench.methods import Explanation, Method

BUFFER = torch.zeros(48, 40)

class Vandal(Method):
    name: Literal["vandal"] = "vandal"

    def check(self, classifier, image):
        torch.set_default_dtype(torch.float16)
        next(classifier.module.parameters()).add_(1)
        image.zero_()

    def explain(self, classifier, request, clock):
        torch.set_default_dtype(torch.float16)
        next(classifier.module.parameters()).add_(1)
        request.image.zero_()
        return Explanation(BUFFER.add_(1), 0, 0)
"""


def test_an_installed_class_is_contained_as_well(
    tiny: Classifier, image: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, vandal="vandal_method:Vandal")
    (tmp_path / "vandal_method.py").write_text(VANDAL_CLASS)
    monkeypatch.syspath_prepend(tmp_path)
    before, picture = fingerprint(tiny.module), image.clone()
    method = parse_method("vandal")
    method.check(tiny, image)
    found = method.explain_together(tiny, [Request(method, image, 0), Request(method, image, 1)])
    assert [one.saliency.unique().tolist() for one in found] == [[1], [2]]
    assert fingerprint(tiny.module) == before
    assert torch.equal(image, picture)


def test_installed_methods_go_by_their_names(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, my_saliency="mine:saliency", flat="flat_method:Flat", sise="mine:fails")
    (tmp_path / "flat_method.py").write_text(OPTIONS_CLASS)
    monkeypatch.syspath_prepend(tmp_path)
    listed = CliRunner().invoke(main, ["ls"]).stdout
    assert "my_saliency mine:saliency of the package my-package" in " ".join(listed.split())
    assert listed.count("\n  sise ") == 1
    run({"name": "my_saliency", "options": {"power": 0.5}}, {"name": "flat", "height": 2}, "sise")
    records = read_records(Path("out"))
    assert records["error"].isna().all()
    assert records[records["method"] == "flat"]["degenerate"].all()
    definitions = json.loads(Path("out/environment.json").read_text())["definitions"]
    assert definitions["flat"] == plugins.definition("flat_method:Flat")
    assert "flat_method.py" in definitions["flat"]
    assert definitions["sise"] == "sise-v1"
    refused(lambda: validate(config({"name": "flat", "hight": 2}), "test"), "did you mean 'height'")
    refused(lambda: validate(config("my_salincy"), "test"), "did you mean 'my_saliency'")
