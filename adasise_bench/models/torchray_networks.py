"""TorchRay's VGG16 and ResNet-50 for PASCAL VOC and COCO, built by TorchRay's own code."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from adasise_bench.models import checkpoint
from adasise_bench.models.classifier import Weights
from adasise_bench.utils.errors import WeightsError

_OUTPUTS = {"voc": 20, "coco": 80}


def load(
    arch: str, data: str, path: Path | None, sha256: str | None, fully_convolutional: bool
) -> tuple[nn.Module, Weights]:
    """Build one of TorchRay's networks.

    Args:
        arch: ``vgg16`` or ``resnet50``.
        data: ``voc`` (20 outputs) or ``coco`` (80 outputs).
        path: checkpoint in TorchRay's format; ``None`` downloads the published one.
        sha256: start of the file's SHA-256, which is then checked.
        fully_convolutional: whether the head slides over inputs that are larger than those of the training.

    Returns:
        The network in evaluation mode, parameters without gradient; and its weights.

    Raises:
        WeightsError: the file is missing, has another hash, or does not fit the architecture.
    """
    from torchray.benchmark import models as torchray_models

    url = weights_url(arch, data)
    published_prefix = url.rsplit("-", 1)[-1].split(".")[0]
    path = path or checkpoint.fetch(url)
    published_name = url.rsplit("/", 1)[-1]
    digest = checkpoint.verify(path, sha256 or (published_prefix if path.name == published_name else None))
    state = checkpoint.read_state(path)
    with _torchray_quirks(state):
        try:
            module = torchray_models.get_model(arch, data, fully_convolutional)
        except (RuntimeError, KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
            lacking = f"no parameter {error}" if isinstance(error, KeyError) else str(error)
            reason = " ".join(lacking.split())[:160]
            raise WeightsError(f"{path}: does not fit {arch} for {data.upper()}: {reason}") from None
    module.requires_grad_(False)
    return module.eval(), Weights(path.name, digest, digest.startswith(published_prefix))


def weights_url(arch: str, data: str) -> str:
    """Where TorchRay's weights of a network are published."""
    from torchray.benchmark.models import model_urls

    url: str = model_urls[arch][data]
    return url


def unloaded(arch: str, data: str) -> tuple[nn.Module, Weights]:
    """torchvision's network of the same architecture with random weights, to plan a run by.

    TorchRay's is built from its weights only. It takes about as long: in ResNet-50 four strides are in other
    convolutions.

    Args:
        arch: ``vgg16`` or ``resnet50``.
        data: ``voc`` (20 outputs) or ``coco`` (80 outputs).

    Returns:
        The network in evaluation mode, parameters without gradient; and what stands for its weights.
    """
    from torchvision import models

    module = models.get_model(arch, weights=None, num_classes=_OUTPUTS[data])
    return module.eval().requires_grad_(False), Weights("random weights", "", published=False)


@contextmanager
def _torchray_quirks(state: dict[str, Any]) -> Iterator[None]:
    """Give TorchRay the verified state in place of its download, without two warnings and random weights."""
    with (
        warnings.catch_warnings(),
        patch.object(torch.hub, "load_state_dict_from_url", lambda _url: dict(state)),
        patch.multiple(
            nn.init, kaiming_normal_=_leave, kaiming_uniform_=_leave, normal_=_leave, uniform_=_leave
        ),
    ):
        warnings.filterwarnings("ignore", message=r".*parameter 'pretrained' is deprecated")
        warnings.filterwarnings(
            "ignore", message=r"Arguments other than a weight enum or `None` for 'weights'"
        )
        yield


def _leave(tensor: torch.Tensor, *_args: Any, **_kwargs: Any) -> torch.Tensor:
    return tensor
