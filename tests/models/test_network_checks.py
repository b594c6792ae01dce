"""What is asked of a user's network before anything is measured with it, and how it is refused."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from hostile.refusals import command, refused
from torch import nn

from adasise_bench.data.transforms import Preprocessing
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.forward_errors import name_errors
from adasise_bench.models.function_check import random_state, refuse_no_function
from adasise_bench.models.network_checks import noise_pictures
from adasise_bench.models.surgery import fold_batchnorm
from adasise_bench.records.reading import read_records
from adasise_bench.run import network
from adasise_bench.run.config_file import validate
from adasise_bench.utils import plugins
from adasise_bench.utils.errors import ConfigError

CPU = torch.device("cpu")
FACTS = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "scale": 1}
PROBES = noise_pictures(48, Preprocessing(1, (0.5,) * 3, (0.25,) * 3))


def body(*end: nn.Module, norm: nn.Module | None = None, outputs: int = 6) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), norm or nn.Identity(), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, outputs), *end,
    )  # fmt: skip


class Around(nn.Module):
    """A network whose forward pass is a function of its body and its input."""

    def __init__(self, forward: Callable[[nn.Module, torch.Tensor], Any], *end: nn.Module, **options: Any):
        super().__init__()
        self.body, self.call = body(*end, **options), forward

    def forward(self, inputs: torch.Tensor) -> Any:
        return self.call(self.body, inputs)


def config_of(**changes: Any) -> Any:
    tree = {
        "data": {"root": "embedded", "input_size": 48},
        "models": {"mine": {"source": "made:make"}},
        "methods": ["sise"],
    } | changes
    return validate(tree, "test")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Classifier]:
    """Loads a network as if a user's function had returned it."""

    def load(module: nn.Module, **changes: Any) -> Classifier:
        source = ModuleType("made")
        source.make = lambda: (module, FACTS)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "made", source)
        plugins.load.cache_clear()
        return network.load(config_of(**changes), "mine", CPU)

    return load


class TrainsDropout(nn.Module):
    """Dropout that the forward pass puts into training mode, as Monte Carlo dropout does."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.dropout = body(), nn.Dropout(0.2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.dropout.train()
        outputs: torch.Tensor = self.dropout(self.body(inputs))
        return outputs


class Remembers(nn.Module):
    """Outputs that a moving average of earlier inputs shifts."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean = body(), torch.zeros(())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.mean = 0.9 * self.mean + 0.1 * inputs.mean()
        outputs: torch.Tensor = self.body(inputs) + self.mean
        return outputs


RANDOM = {
    "functional dropout": lambda: Around(lambda body, x: body(F.dropout(x, 0.3))),
    "dropout in training mode": TrainsDropout,
    "stochastic depth": lambda: Around(
        lambda body, x: body(x) + torchvision.ops.stochastic_depth(body(x), 0.5, "row")
    ),
    "depth that is rarely dropped": lambda: Around(
        lambda body, x: body(x) * (1.0 if random.random() < 0.8 else 0.5)
    ),
    "noise of NumPy": lambda: Around(lambda body, x: body(x) * np.random.uniform(0.5, 1.5)),
    "noise of the instance": lambda: Around(lambda body, x: body(x + 0.1 * torch.randn_like(x))),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_networks_that_draw_random_numbers_are_refused(made: Callable[..., Classifier], kind: str) -> None:
    module = RANDOM[kind]()
    before = random_state(CPU)
    refused(
        lambda: made(module),
        "models.mine: gives other outputs when the same input comes again: its forward pass draws random",
        kind=ConfigError,
    )
    assert random_state(CPU) == before


def test_networks_that_remember_are_refused(made: Callable[..., Classifier]) -> None:
    refused(lambda: made(Remembers()), "models.mine: gives other outputs", "remembers", kind=ConfigError)


MIXING = {
    "no running statistics": (
        lambda: body(norm=nn.BatchNorm2d(8, track_running_stats=False)),
        "'1' (BatchNorm2d) has no running statistics",
    ),
    "training mode in the forward pass": (
        lambda: Around(lambda body, x: body.train()(x), norm=nn.BatchNorm2d(8)),
        "'body.1' (BatchNorm2d) is put into training mode",
    ),
    "functional": (
        lambda: Around(lambda body, x: body(F.batch_norm(x, None, None, training=True))),
        "uses statistics of the whole batch",
    ),
    "centred over the batch": (
        lambda: Around(lambda body, x: body(x - x.mean(dim=0, keepdim=True))),
        "uses statistics of the whole batch",
    ),
    "only in larger batches": (
        lambda: Around(lambda body, x: body(x) * (2.0 if len(x) > 4 else 1.0)),
        "uses statistics of the whole batch",
    ),
}


@pytest.mark.parametrize("kind", MIXING)
def test_networks_that_look_at_the_batch_are_refused(made: Callable[..., Classifier], kind: str) -> None:
    make, named = MIXING[kind]
    refused(lambda: made(make()), "models.mine: gives an input other outputs beside", named, kind=ConfigError)


def test_sound_networks_pass_before_and_after_folding() -> None:
    for norm in (nn.BatchNorm2d(8), nn.InstanceNorm2d(8), nn.GroupNorm(2, 8)):
        module = body(norm=norm).eval()
        refuse_no_function("it", module, PROBES)
        refuse_no_function("it", fold_batchnorm(module), PROBES)
    torch.manual_seed(0)
    resnet = torchvision.models.resnet18(num_classes=6).eval()
    refuse_no_function("it", resnet, PROBES)
    refuse_no_function("it", fold_batchnorm(resnet), PROBES)


def test_rounding_that_a_batch_moves_is_no_reason_to_refuse() -> None:
    """A network that subtracts nearly equal numbers makes rounding of 1e-7 a visible share of its outputs."""

    def cancelling(body: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = body(inputs)
        noise = 1e-3 * len(inputs) * (outputs.dtype == torch.float32)  # stands for other kernels
        return outputs + noise

    refuse_no_function("it", Around(cancelling).eval(), PROBES)
    with pytest.raises(ConfigError):
        refuse_no_function("it", Around(lambda body, x: body(x) + 1e-3 * len(x)).eval(), PROBES)


def test_random_state_is_what_it_was(made: Callable[..., Classifier]) -> None:
    module = Around(lambda body, x: body(x) + 0 * torch.rand(()) * np.random.rand() * random.random())
    before = random_state(CPU)
    made(module)
    assert random_state(CPU) == before


def test_a_deterministic_run_refuses_random_numbers_that_show_nowhere(
    made: Callable[..., Classifier],
) -> None:
    module = Around(lambda body, x: body(x) + 0 * torch.rand(()))
    assert made(module).name == "mine"
    before = random_state(CPU)
    refused(
        lambda: made(module, deterministic=True),
        "deterministic: models.mine: its forward pass draws random numbers",
        kind=ConfigError,
    )
    assert random_state(CPU) == before
    assert made(body(), deterministic=True).name == "mine"


def refuse_score(made: Callable[..., Classifier], module: nn.Module, score: str, *named: str) -> None:
    outputs = int(module(PROBES[:1]).shape[1])
    models = {"mine": {"source": "made:make", "classes": list("abcdef")[:outputs]}}
    refused(
        lambda: made(module.eval(), score=score, models=models), "models.mine: ", *named, kind=ConfigError
    )


def test_one_output_under_softmax_is_refused(made: Callable[..., Classifier]) -> None:
    refuse_score(made, body(outputs=1), "softmax", "`score: sigmoid`")
    refuse_score(made, body(nn.Softmax(1), outputs=1), "sigmoid", "1 for every picture")
    refuse_score(made, body(nn.Softmax(1), outputs=1), "probability", "1 for every picture")
    models = {"mine": {"source": "made:make", "classes": ["a"]}}
    for score in ("sigmoid", "logit"):
        assert made(body(outputs=1), score=score, models=models).score == score


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_a_second_softmax_is_refused(made: Callable[..., Classifier], score: str) -> None:
    refuse_score(made, body(nn.Softmax(1)), score, "add up to 1", "`score: probability`")
    refuse_score(made, body(nn.Sigmoid()), score, "ends in a sigmoid", "`score: probability`")


def test_probabilities_may_be_taken_as_they_are(made: Callable[..., Classifier]) -> None:
    assert made(body(nn.Softmax(1)), score="probability").outputs_add_up
    assert not made(body(nn.Sigmoid()), score="probability").outputs_add_up
    assert made(body(nn.Softmax(1)), score="logit").score == "logit"
    refuse_score(made, body(), "probability", "no probabilities", "`score: softmax`")


def test_log_probabilities_need_softmax(made: Callable[..., Classifier]) -> None:
    refuse_score(made, body(nn.LogSoftmax(1)), "sigmoid", "log-softmax", "`score: softmax`")
    assert made(body(nn.LogSoftmax(1))).score == "softmax"


def test_outputs_that_look_like_probabilities_are_named(
    made: Callable[..., Classifier], capsys: pytest.CaptureFixture[str]
) -> None:
    made(Around(lambda body, x: body(x).sigmoid() * 0.9))
    assert "models.mine: all outputs for two noise pictures lie between 0 and 1" in capsys.readouterr().err
    made(body())
    assert not capsys.readouterr().err


def test_a_network_that_comes_with_the_tool_gives_no_probabilities() -> None:
    refused(
        lambda: config_of(models={"scenes_vgg": {}}, score="probability"),
        "scenes_vgg gives raw",
        kind=ConfigError,
    )


@pytest.mark.parametrize("method", ["sise", "ada_sise"])
def test_a_softmax_inside_gives_the_maps_of_the_one_outside(
    made: Callable[..., Classifier], method: str
) -> None:
    from conftest import explained

    image = PROBES[:1]
    raw, inside = made(body()), made(body(nn.Softmax(1)), score="probability")
    torch.testing.assert_close(inside.scores(PROBES), raw.scores(PROBES))
    expected = explained(method, raw, image, 2)
    got = explained(method, inside, image, 2)
    assert got.maps_kept == expected.maps_kept
    torch.testing.assert_close(got.saliency, expected.saliency, atol=1e-5, rtol=0)


def test_every_method_does_with_probabilities_what_is_documented(made: Callable[..., Classifier]) -> None:
    """Methods that read raw outputs take the probability, as they do under ``logit``."""
    from conftest import explained

    image, ending = PROBES[:1], body(nn.Softmax(1))
    probability, logit = made(ending, score="probability"), made(ending, score="logit")
    for method in ("grad_cam", "gradient", {"name": "extremal_perturbation", "iterations": 3}):
        assert torch.equal(
            explained(method, probability, image, 2).saliency, explained(method, logit, image, 2).saliency
        )
    rise = {"name": "rise", "masks": 20}
    torch.testing.assert_close(
        explained(rise, probability, image, 2).saliency, explained(rise, made(body()), image, 2).saliency
    )
    refused(lambda: made(ending, score="probability", methods=["cam"]), "cam: mine", kind=ConfigError)


class Viewing(nn.Module):
    """Flattens maps by a view of one memory layout."""

    def __init__(self, permuted: bool) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.head, self.permuted = nn.Linear(8 * 12 * 12, 6), permuted

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = self.features(inputs)
        maps = maps.permute(0, 2, 3, 1) if self.permuted else maps
        outputs: torch.Tensor = self.head(maps.view(len(maps), -1))
        return outputs


@pytest.mark.parametrize(("permuted", "works"), [(False, "contiguous"), (True, "channels_last")])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_view_that_needs_one_layout_gets_it(
    made: Callable[..., Classifier],
    capsys: pytest.CaptureFixture[str],
    permuted: bool,
    works: str,
    deterministic: bool,
) -> None:
    classifier = made(Viewing(permuted), deterministic=deterministic)
    told = capsys.readouterr().err.splitlines()
    assert classifier.layouts == (works,)
    assert len(told) == 1
    assert "models.mine: fails on an input of 48x48 px: RuntimeError: view size" in told[0]
    assert told[0].endswith(f"so it runs in {works}")
    for layout in ("contiguous", "channels_last"):
        config = config_of(engine={"layout": layout, "batch_size": 4})
        chosen = network.with_engine(config, classifier)
        assert chosen.engine.layout == works
        assert chosen.scores(chosen.empty_batch(PROBES[:1]).zero_()).shape == (4, 6)
    tuned = network.with_engine(config_of(deterministic=deterministic), classifier)
    assert tuned.engine.layout == works
    assert tuned.scores(PROBES).shape == (2, 6)


def test_a_layout_that_changes_outputs_is_left_out(
    made: Callable[..., Classifier], capsys: pytest.CaptureFixture[str]
) -> None:
    """``as_strided`` reads memory, whatever its order means."""

    class Reading(Viewing):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.head(
                self.features(inputs).as_strided((len(inputs), 1152), (1152, 1))
            )
            return outputs

    assert made(Reading(False)).layouts == ("contiguous",)
    assert "other outputs in memory layout channels_last, so it runs in contiguous" in capsys.readouterr().err


def test_trying_layouts_leaves_the_weights_where_they_are(made: Callable[..., Classifier]) -> None:
    module = body()
    before = {name: (tensor.data_ptr(), tensor.stride()) for name, tensor in module.state_dict().items()}
    classifier = made(module)
    assert classifier.layouts == ("contiguous", "channels_last")
    after = {name: (tensor.data_ptr(), tensor.stride()) for name, tensor in module.state_dict().items()}
    assert after == before


class Quit(BaseException):
    """Not an Exception."""

    def __str__(self) -> str:
        raise KeyError("no text")


def raises(error: BaseException, when: Callable[[torch.Tensor], bool] = lambda _: True) -> nn.Module:
    def forward(body: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        if when(inputs):
            raise error
        outputs: torch.Tensor = body(inputs)
        return outputs

    return Around(forward)


@pytest.mark.parametrize(
    "error", [ValueError("planted"), SystemExit(0), Quit()], ids=lambda e: type(e).__name__
)
def test_whatever_the_forward_pass_raises_is_named(
    made: Callable[..., Classifier], error: BaseException
) -> None:
    named = "models.mine: fails on an input of 48x48 px: ", type(error).__name__, "(test_network_checks.py:"
    refused(lambda: made(raises(error)), *named, kind=ConfigError)
    only_with_gradient = raises(error, lambda _: torch.is_grad_enabled())
    refused(lambda: made(only_with_gradient), *named, kind=ConfigError)
    later = made(raises(error, lambda inputs: len(inputs) == 7))
    refused(lambda: later.scores(PROBES[:1].expand(7, -1, -1, -1)), *named, kind=ConfigError)


def test_what_the_tool_handles_itself_stays_as_it_is() -> None:
    for error in (KeyboardInterrupt(), MemoryError(), torch.OutOfMemoryError("out of memory")):
        with pytest.raises(type(error)):
            name_errors(raises(error), "it")(PROBES)


def test_a_copy_calls_the_copied_network() -> None:
    import copy

    module = name_errors(body(), "it")
    other = copy.deepcopy(module)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    assert float(other(PROBES).detach().abs().max()) == 0
    assert float(module(PROBES).detach().abs().min()) > 0


def test_a_guarded_network_compiles_as_one_graph() -> None:
    module = name_errors(body().eval(), "it")
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(PROBES), module(PROBES))


def test_a_dropped_batch_dimension_is_named(made: Callable[..., Classifier]) -> None:
    refused(
        lambda: made(Around(lambda body, x: body(x).squeeze())),
        "models.mine: gives (6,) for 1 input", "`.squeeze()`", kind=ConfigError,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_networks_that_cannot_be_looked_into_are_refused(made: Callable[..., Classifier]) -> None:
    scripted = torch.jit.script(body().eval())
    traced = torch.jit.trace(body().eval(), PROBES)
    for module in (scripted, traced, nn.Sequential(scripted, nn.Identity())):
        refused(lambda module=module: made(module), "models.mine: is a TorchScript network", kind=ConfigError)  # type: ignore[misc]
    exported = torch.export.export(body().eval(), (PROBES,))
    refused(lambda: made(exported), "torch.export", "return the network that was exported", kind=ConfigError)  # type: ignore[arg-type]
    refused(lambda: made(exported.module()), "return the network that was exported", kind=ConfigError)


def test_a_compiled_network_is_used_without_its_wrapper(made: Callable[..., Classifier]) -> None:
    module = body()
    assert made(torch.compile(module)).blocks == made(module).blocks == ("2", "5")  # type: ignore[arg-type]


@pytest.mark.parametrize("arch", ["inception_v3", "googlenet"])
def test_whether_inputs_are_transformed_must_be_said_with_a_checkpoint(tmp_path: Path, arch: str) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    entry = {"source": "torchvision", "arch": arch, "checkpoint": str(tmp_path / "w.pth")}

    def load(**options: Any) -> Classifier:
        wanted = {"aux_logits": False, "init_weights": False} | options
        config = config_of(models={"mine": entry | {"options": wanted}})
        return network.load(config, "mine", CPU)

    refused(load, "models.mine.options", "`transform_input: true`", arch, kind=ConfigError)
    for said in (True, False):
        refused(lambda said=said: load(transform_input=said), "w.pth: no checkpoint")  # type: ignore[misc]


SOURCE = """
from torch import nn
import torch

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(16, 6))
        self.seen = 0

    def forward(self, inputs):
        if torch.is_grad_enabled():
            self.seen += 1
            if self.seen == LAST:
                raise SystemExit(0)
        return self.body(inputs)

def make():
    return Network(), {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "scale": 1}
"""


def test_a_network_that_ends_the_program_fails_one_explanation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its SystemExit(0) would end the run as if it had succeeded; all other explanations are made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "made", raising=False)
    Path("made.py").write_text(SOURCE.replace("LAST", "6"))
    plugins.load.cache_clear()
    Path("c.yaml").write_text(
        "data: {root: embedded, input_size: 48}\n"
        "models: {mine: {source: 'made:make', blocks: [body.1, body.4]}}\n"
        "methods: [grad_cam]\nengine: {layout: contiguous, batch_size: 4}\n"
    )
    result = command_without_error_line("run", "--config", "c.yaml", "--output", "out", "--limit", "3")
    assert result == 1
    errors = read_records(Path("out"))["error"].dropna().tolist()
    assert len(errors) == 1
    assert errors[0].startswith("models.mine: fails on an input of 48x48 px: SystemExit: 0 (made.py:")
    assert len(read_records(Path("out"))) > 3


def command_without_error_line(*arguments: str) -> int:
    """The exit code of a command that ends without a traceback."""
    from click.testing import CliRunner

    from adasise_bench.cli import main

    result = CliRunner().invoke(main, list(arguments))
    assert "Traceback" not in result.output
    return result.exit_code


def test_from_the_command_line_one_line_names_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "made", raising=False)
    Path("made.py").write_text(SOURCE.replace("self.seen == LAST", "True"))
    plugins.load.cache_clear()
    Path("c.yaml").write_text(
        "data: {root: embedded, input_size: 48}\nmodels: {mine: {source: 'made:make'}}\nmethods: [sise]\n"
    )
    result = command("run", "--config", "c.yaml", "--output", "out")
    assert result.exit_code == 2
    assert "models.mine: fails on an input of 48x48 px: SystemExit: 0 (made.py:" in result.stderr


def test_engines_of_both_layouts_agree_after_loading(made: Callable[..., Classifier]) -> None:
    classifier = made(body())
    expected = classifier.scores(PROBES)
    moved = classifier.with_engine(Engine("channels_last", 2))
    batch = moved.empty_batch(PROBES[:1]).copy_(PROBES)
    torch.testing.assert_close(moved.scores(batch), expected, atol=1e-6, rtol=0)
