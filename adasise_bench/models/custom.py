"""The user's own networks: from torchvision, from timm, or from a function of the user's."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from torch import nn

from adasise_bench.data.transforms import Preprocessing
from adasise_bench.models import checkpoint
from adasise_bench.models.batching import BatchSize, torch_failures
from adasise_bench.models.blocks import check_blocks, find_blocks
from adasise_bench.models.classifier import Classifier, Weights
from adasise_bench.models.config import CustomModel
from adasise_bench.models.engine import Engine
from adasise_bench.models.forward_errors import name_errors
from adasise_bench.models.lost_device import is_lost_device
from adasise_bench.models.network_checks import check_network
from adasise_bench.models.preparation import prepared
from adasise_bench.models.score import ScoreName
from adasise_bench.models.state import load_state
from adasise_bench.models.tokens import possible_prefixes
from adasise_bench.utils import plugins
from adasise_bench.utils.errors import BenchError, ConfigError, DeviceError, WeightsError
from adasise_bench.utils.precision import PrecisionName, arithmetic
from adasise_bench.utils.settings import first_problem, suggest

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


_SCALING_INPUTS = ("googlenet", "inception_v3")
"""torchvision's networks that can normalise their inputs a second time. Their parameters do not show it."""


def load(
    name: str,
    settings: CustomModel,
    *,
    data_classes: tuple[str, ...],
    input_size: int,
    resize: str,
    score: ScoreName,
    precision: PrecisionName,
    device: torch.device,
    deterministic: bool,
    module: nn.Module | None = None,
) -> Classifier:
    """Build a network, load its weights, find its blocks, and try it out.

    The caller sets where random numbers begin, and restores them, because foreign code may draw some.

    Args:
        name: key of the entry under ``models``.
        settings: the entry.
        data_classes: names of the outputs, unless the entry or the source of the network gives others.
        input_size: length of the input's (shorter) side in pixels.
        resize: with ``short-side``, inputs that are not squares are tried as well.
        score: the score Ψ.
        precision: arithmetic of the scoring passes.
        device: where the network will live.
        deterministic: whether its gradients must be repeatable.
        module: a network that was built already, of which a copy is used.

    Raises:
        ConfigError: one line that names the setting that does not fit.
        WeightsError: the weights are missing, altered, or of another network.
        DeviceError: the device cannot compute its gradients.
    """
    where = f"models.{name}"
    with plugins.undone(where):
        if module is not None:
            built = _given(module, settings)
        else:
            built = _BUILDERS.get(settings.source, _from_function)(name, settings, data_classes)
    settings = _completed(where, settings, built.facts)
    module = name_errors(_prepared(where, built.module), where)
    weights = _weights(where, module, settings, built.origin)
    if settings.mean is None or settings.std is None:
        raise ConfigError(f"{where}: say how pictures are normalised: `mean`, `std` and, if not 1, `scale`")
    classes = tuple(settings.classes or data_classes)
    image = torch.randn(1, 3, input_size, input_size, generator=torch.Generator().manual_seed(0)).to(device)
    module = module.to(device)
    preprocessing = Preprocessing(settings.scale or 1, settings.mean, settings.std)
    prefixes = possible_prefixes(module, settings.tokens)
    with arithmetic("fp32", device):
        answers = check_network(
            where, module, preprocessing, classes, score, input_size=input_size, resize=resize, device=device
        )
        try:
            blocks = (
                find_blocks(module, image, settings.tokens)
                if settings.blocks in (None, "auto")
                else check_blocks(module, image, settings.blocks, settings.tokens)
            )
        except ValueError as error:
            raise ConfigError(f"{where}: blocks: {error}") from None
        module = prepared(module, device, repeatable=deterministic, trial=image)
    classifier = Classifier(
        name, module, classes, blocks, score, precision, weights, device,
        BatchSize(1), Engine("contiguous", 1),
        preprocessing=preprocessing,
        definition=built.definition,
        layouts=answers.layouts,
        outputs_add_up=answers.outputs_add_up,
        prefixes=prefixes,
    )  # fmt: skip
    return classifier.with_maps(_maps(where, classifier, image))


def _maps(where: str, classifier: Classifier, image: torch.Tensor) -> tuple[int, ...]:
    """How many feature maps each block has. Their gradients are computed once, to see whether this works.

    Raises:
        ConfigError: the gradients cannot be computed.
        DeviceError: they cannot be computed on this device: memory ran out, or torch cannot repeat them.
    """
    try:
        with torch_failures():
            return tuple(len(block.maps) for block in classifier.block_maps(image, [0]))
    except DeviceError as error:
        raise DeviceError(f"{where}: {error}") from None
    except (RuntimeError, ValueError) as error:
        if is_lost_device(error):
            raise
        raise ConfigError(f"{where}: blocks: no gradients of these: {plugins.reason(error)}") from None


class _Built(NamedTuple):
    """A network, and what is known of it from its source.

    Attributes:
        module: the network as it was built.
        origin: where its weights come from, if not from a file.
        facts: settings that hold unless the configuration has others.
        definition: which code built it.
    """

    module: nn.Module
    origin: str
    facts: Mapping[str, Any]
    definition: str


def refuse_absent(name: str, settings: CustomModel) -> None:
    """Refuse a network that does not exist, without building it.

    Raises:
        ConfigError: its library has no such network or weights, or there is no such function.
    """
    {"torchvision": _in_torchvision, "timm": _in_timm}.get(settings.source, _in_module)(name, settings)


def weights_url(name: str, settings: CustomModel) -> str | None:
    """Where the weights of an entry are downloaded from; ``None`` if there are none, or only timm knows."""
    if settings.source != "torchvision" or not settings.weights:
        return None
    from torchvision import models

    url: str = models.get_model_weights(_in_torchvision(name, settings))[settings.weights].url
    return url


def _in_module(name: str, settings: CustomModel) -> None:
    plugins.check_arguments(settings.source, **settings.options)


def _in_torchvision(name: str, settings: CustomModel) -> str:
    """The name of the architecture."""
    from torchvision import models

    arch = settings.arch or name
    known = models.list_models(module=models)
    if arch not in known:
        raise ConfigError(f"models.{name}: torchvision has no classifier {arch!r}{suggest(arch, known)}")
    offered = models.get_model_weights(arch).__members__
    if settings.weights and settings.weights not in offered:
        raise ConfigError(
            f"models.{name}.weights: torchvision's {arch} has no {settings.weights!r}"
            f"{suggest(settings.weights, offered)}"
        )
    return arch


def _from_torchvision(name: str, settings: CustomModel, data_classes: tuple[str, ...]) -> _Built:
    from torchvision import models

    arch = _in_torchvision(name, settings)
    if arch in _SCALING_INPUTS and settings.checkpoint and "transform_input" not in settings.options:
        raise ConfigError(
            f"models.{name}.options: say `transform_input: true` or `false`, as {arch} was trained: its "
            "checkpoint does not tell, and torchvision's own pretrained weights need `true`"
        )
    facts: dict[str, Any] = dict(IMAGENET)
    origin, chosen = "random weights", None
    if settings.weights:
        chosen = models.get_model_weights(arch)[settings.weights]
        transforms = chosen.transforms()
        facts |= {"mean": tuple(transforms.mean), "std": tuple(transforms.std)}
        facts |= {"classes": _numbered(chosen.meta["categories"])}
        origin = f"torchvision's {arch} {chosen.name}"
    outputs = {} if chosen else {"num_classes": len(settings.classes or data_classes)}
    module = _build(name, settings, models.get_model, arch, weights=chosen, **outputs)
    return _Built(module, origin, facts, f"torchvision {arch}")


def _in_timm(name: str, settings: CustomModel) -> str:
    """The name of the architecture."""
    try:
        import timm
    except ImportError:
        raise ConfigError(
            f"models.{name}: timm is not installed: pip install 'adasise-bench[timm]'"
        ) from None
    arch = settings.arch or name
    if not timm.is_model(arch):
        known = timm.list_models()
        raise ConfigError(f"models.{name}: timm has no {arch!r}{suggest(arch, known)}"[:300])
    tag = settings.weights
    if tag not in (None, "DEFAULT") and not timm.is_model_pretrained(f"{arch}.{tag}"):
        known = [tagged.partition(".")[2] for tagged in timm.list_pretrained(f"{arch}.*")]
        raise ConfigError(f"models.{name}.weights: timm's {arch} has no {tag!r}{suggest(str(tag), known)}")
    return arch


def _from_timm(name: str, settings: CustomModel, data_classes: tuple[str, ...]) -> _Built:
    arch = _in_timm(name, settings)
    import timm

    tagged = f"{arch}.{settings.weights}" if settings.weights not in (None, "DEFAULT") else arch
    outputs = {} if settings.weights else {"num_classes": len(settings.classes or data_classes)}
    module = _build(name, settings, timm.create_model, tagged, pretrained=bool(settings.weights), **outputs)
    facts = {key: tuple(module.pretrained_cfg[key]) for key in ("mean", "std")}
    origin = f"timm's {tagged}" if settings.weights else "random weights"
    return _Built(module, origin, facts, f"timm {timm.__version__} {arch}")


def _from_function(name: str, settings: CustomModel, _data_classes: tuple[str, ...]) -> _Built:
    location = settings.source
    plugins.check_arguments(location, **settings.options)
    made = _build(name, settings, plugins.load_function(location))
    module, facts = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
    if isinstance(module, torch.export.ExportedProgram):
        raise ConfigError(
            f"models.{name}: {location} returned what torch.export made, whose layers cannot be read; "
            "return the network that was exported"
        )
    if not isinstance(module, nn.Module) or not isinstance(facts, Mapping):
        raise ConfigError(
            f"models.{name}: {location} returned a {type(module).__name__}; "
            "it shall return an nn.Module, or one and a dictionary of settings"
        )
    files = plugins.named_files(settings.options)
    named = [f"; options.{name}: {sha256[:16]}" for name, sha256 in files.items()]
    definition = plugins.definition(location) + "".join(named)
    return _Built(module, f"weights of {location}", facts, definition)


def _given(module: nn.Module, settings: CustomModel) -> _Built:
    """A copy, because the network is put into evaluation mode, moved and folded."""
    return _Built(copy.deepcopy(module), f"weights of {settings.source}", {}, settings.source)


_BUILDERS: Mapping[str, Callable[[str, CustomModel, tuple[str, ...]], _Built]] = {
    "torchvision": _from_torchvision,
    "timm": _from_timm,
}


def _build(
    name: str, settings: CustomModel, function: Callable[..., Any], *names: str, **options: Any
) -> Any:
    """Call the function that builds the network. It may raise any exception.

    Raises:
        ConfigError: it raises one.
        WeightsError: it raises one while it should load weights.
    """
    try:
        return function(*names, **{**options, **settings.options})
    except BenchError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code may raise anything, SystemExit included
        kind = WeightsError if settings.weights else ConfigError
        called = " ".join([settings.source, *names])
        unfetched = settings.weights and isinstance(error, OSError)
        cure = "; fetch the weights by hand and name the file in `checkpoint`" if unfetched else ""
        raise kind(f"models.{name}: {called}: {plugins.reason(error)}{cure}") from None


def _completed(where: str, settings: CustomModel, facts: Mapping[str, Any]) -> CustomModel:
    """The settings, completed by the facts of the network's source that the configuration leaves open."""
    allowed = ("classes", "blocks", "mean", "std", "scale")
    for key in facts:
        if key not in allowed:
            raise ConfigError(f"{where}: {settings.source} says {str(key)!r}{suggest(str(key), allowed)}")
    try:
        return CustomModel.model_validate({**facts, **settings.model_dump(exclude_none=True)})
    except ValidationError as error:
        problem = first_problem(error, CustomModel)
        raise ConfigError(f"{where}: what {settings.source} says: {problem}") from None


def _prepared(where: str, module: nn.Module) -> nn.Module:
    """The network in fp32 and evaluation mode, its parameters without gradient.

    Raises:
        ConfigError: it is compiled in a way that hides its layers, or has no evaluation mode.
    """
    module = getattr(module, "_orig_mod", module)  # hooks do not work on what torch.compile wraps around it
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise ConfigError(
                f"{where}: is a TorchScript network, whose layers cannot be read; build it in Python, and "
                "give its state_dict() as `checkpoint`"
            )
    try:
        return module.float().eval().requires_grad_(False)
    except NotImplementedError as error:  # what torch.export makes has no evaluation mode
        reason = f"{plugins.reason(error)}; return the network that was exported"
    except Exception as error:  # such as ValueError of parameters that get their shape in the first pass
        reason = plugins.reason(error)
    raise ConfigError(f"{where}: cannot be put into evaluation mode: {reason}")


def _weights(where: str, module: nn.Module, settings: CustomModel, origin: str) -> Weights:
    """Load the checkpoint, if there is one. Otherwise the hash is that of the network's state."""
    path = settings.checkpoint
    if path is None:
        return Weights(origin, state_sha256(module), published=False)
    digest = checkpoint.verify(path, settings.sha256)
    load_state(path, module, where)
    return Weights(path.name, digest, published=False)


def state_sha256(module: nn.Module) -> str:
    """SHA-256 of all parameters and buffers with their names, types and shapes, as 64 hex digits."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _numbered(names: list[str]) -> list[str]:
    """Names that occur twice, as two of ImageNet's do, get their number added; a slash becomes a hyphen."""
    names = [name.replace("/", "-") for name in names]
    return [f"{name} {index}" if names.count(name) > 1 else name for index, name in enumerate(names)]
