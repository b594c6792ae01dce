"""Checkpoints as training scripts write them: found, taken where exactly one thing fits, else explained."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile.refusals import refused
from torch import nn

from adasise_bench.models.state import load_state, states_in
from adasise_bench.utils.errors import WeightsError

State = dict[str, torch.Tensor]


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def averaged(module: nn.Module) -> State:
    return dict(torch.optim.swa_utils.AveragedModel(module).state_dict())


LAYOUTS: dict[str, Callable[[State, nn.Module], Any]] = {
    "plain": lambda state, _: state,
    "state_dict": lambda state, _: {"epoch": 3, "state_dict": state, "best": 0.5},
    "model": lambda state, _: {"model": state, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
    "model_state": lambda state, _: {"model_state": state},
    "model_state_dict": lambda state, _: {"model_state_dict": state, "loss": torch.tensor(float("nan"))},
    "net": lambda state, _: {"net": state, "acc": 91.2},
    "two levels": lambda state, _: {"checkpoint": {"model": {"weights": state}}},
    "ema alone": lambda state, _: {"ema": {"module": state, "decay": 0.999}, "epoch": 3},
    "DataParallel": lambda state, _: prefixed("module.", state),
    "compiled": lambda state, _: prefixed("_orig_mod.", state),
    "compiled and parallel": lambda state, _: {"model": prefixed("module._orig_mod.", state)},
    "Lightning": lambda state, _: {"state_dict": prefixed("model.", state), "hparams": {"lr": 0.1}},
    "deep prefix": lambda state, _: prefixed("learner.net.", state),
    "compiled within": lambda state, _: {name.replace(".", "._orig_mod.", 1): v for name, v in state.items()},
    "AveragedModel": lambda _, module: averaged(module),
    "timm's training": lambda state, _: {
        "state_dict": state, "args": Namespace(lr=0.1),
        "state_dict_ema": {name: value.clone() for name, value in state.items()},
    },
    "an average of others beside it": lambda state, _: {
        "model": state, "optimizer": {"exp_avg": {"x": torch.tensor(float("inf"))}},
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYOUTS)
def test_the_parameters_are_found(tmp_path: Path, kind: str) -> None:
    trained, path = network(1), tmp_path / "w.pth"
    torch.save(LAYOUTS[kind](dict(trained.state_dict()), trained), path)
    module = network(2)
    load_state(path, module, "models.mine")
    for name, value in trained.state_dict().items():
        assert torch.equal(module.state_dict()[name], value), name


def test_a_name_of_the_network_that_looks_like_a_wrapper_stays(tmp_path: Path) -> None:
    trained = nn.ModuleDict({"module": network(1)})
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    module = nn.ModuleDict({"module": network(2)})
    load_state(tmp_path / "w.pth", module, "models.mine")
    assert torch.equal(module["module"][0].weight, trained["module"][0].weight)  # type: ignore[index]


def test_two_things_that_fit_are_not_chosen_between(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": network(1).state_dict(), "state_dict_ema": network(2).state_dict()}, path)
    refused(
        lambda: load_state(path, network(), "models.mine"),
        f"{path}: 'state_dict' and 'state_dict_ema' both fit models.mine and differ",
        kind=WeightsError,
    )


def test_a_state_of_another_network_beside_it_is_passed_over(tmp_path: Path) -> None:
    trained, teacher = network(1), nn.Sequential(nn.Conv2d(3, 9, 3))
    torch.save({"teacher": teacher.state_dict(), "student": trained.state_dict()}, tmp_path / "w.pth")
    module = network(2)
    load_state(tmp_path / "w.pth", module, "models.mine")
    assert torch.equal(module[0].weight, trained[0].weight)  # type: ignore[index]


def test_what_differs_is_told_in_whole_names(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    long = "a_stage_with_a_name_of_some_length.and_a_block_with_another"
    module = nn.ModuleDict({"body": network(), "head": nn.Linear(4, 2)})
    state = {k: v for k, v in module.state_dict().items() if not k.startswith("body.1.")}
    state |= {f"{long}.{name}": torch.zeros(1) for name in ("weight", "bias", "scale")}
    state["head.weight"] = torch.zeros(3, 4)
    torch.save({"model": state, "epoch": 1}, path)
    refused(
        lambda: load_state(path, module, "models.mine"),
        f"{path}: does not fit models.mine: missing: body.1.weight, body.1.bias and 3 more; "
        f"surplus: {long}.weight, {long}.bias and 1 more; "
        "of another shape: head.weight (3, 4) instead of (2, 4)",
        kind=WeightsError,
    )


def test_parameters_that_are_not_finite_are_refused_wherever_they_are(tmp_path: Path) -> None:
    state = network().state_dict()
    state["0.weight"].fill_(float("nan"))
    for content in (state, {"model": prefixed("module.", state)}):
        torch.save(content, tmp_path / "w.pth")
        refused(lambda: load_state(tmp_path / "w.pth", network(), "it"), "are not finite", kind=WeightsError)


@pytest.mark.filterwarnings("ignore")
def test_files_that_are_no_checkpoints_say_what_to_save(tmp_path: Path) -> None:
    path, module = tmp_path / "w.pth", network().eval()
    torch.save(module, path)
    cure = "save the network's state_dict() instead"
    refused(
        lambda: load_state(path, module, "it"), "holds a torch.nn.modules.container.Sequential", cure,
        kind=WeightsError,
    )  # fmt: skip
    torch.jit.save(torch.jit.script(module), str(path))
    refused(lambda: load_state(path, module, "it"), "an archive of TorchScript", cure, kind=WeightsError)
    exported = torch.export.export(module, (torch.zeros(2, 3, 8, 8),))
    torch.export.save(exported, tmp_path / "w.pt2")
    refused(lambda: load_state(tmp_path / "w.pt2", module, "it"), "torch.export", cure, kind=WeightsError)


def test_mappings_that_share_or_contain_each_other_end() -> None:
    """Every level refers a thousand times to the same one below: a walk along all paths would never end."""
    content: Any = {"x": torch.zeros(1)}
    for _ in range(3):
        content = {str(i): content for i in range(1000)} | {"n": 1}
    assert len(states_in(content)) == 1
    circle: dict[str, Any] = {"n": 1}
    circle["itself"] = circle
    assert states_in(circle) == {}
    deep: Any = {"x": torch.zeros(1)}
    for _ in range(5000):
        deep = {"d": deep}
    assert states_in(deep) == {}
