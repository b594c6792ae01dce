"""Layer-wise Relevance Propagation (Bach et al., PLOS ONE 2015) by zennit."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from zennit.composites import EpsilonAlpha2Beta1Flat, EpsilonPlusFlat, LayerMapComposite, layer_map_base
from zennit.core import Composite
from zennit.rules import Epsilon, Norm, ZPlus
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer
from zennit.types import Convolution, Linear

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.surgery import MatrixAveragePool
from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock

CompositeName = Literal["epsilon_plus_flat", "epsilon_alpha2_beta1_flat", "epsilon"]


class Lrp(Method):
    """Layer-wise Relevance Propagation: passes the class's raw output back, layer by layer, to the input.

    Each kind of layer has a rule by which it shares its relevance among its inputs. ``composite`` names them:

    - ``epsilon_plus_flat``, the default: the ε rule (ε is 1e-6) in linear layers, z+ (α is 1, β is 0) in
      convolutions, and the flat rule in the first convolution;
    - ``epsilon_alpha2_beta1_flat``: the same with α 2 and β 1 in convolutions;
    - ``epsilon``: the ε rule in all layers.

    The relevance of the output is the raw output itself, spread evenly over its positions where it has
    several. Positive relevance is therefore evidence for the class, whatever the sign of the output. The map
    is the relevance of the input summed over the colour channels. Negative sums are evidence against the
    class and become 0.

    zennit applies the rules, and shares the relevance of a sum in torchvision's residual blocks among its
    branches. zennit looks at modules only. What a network does by functions passes relevance on as it passes
    gradients, which is right for ReLU, max pooling, concatenation and reshaping, but not for a mean. Two
    kinds of networks are refused: those that add up feature maps elsewhere, because the relevance of such a
    sum would count once for each branch, and those with a batch normalisation that folds into no convolution.

    Map: (H, W) float32, at least 0, in units of the raw output.

    Source: Bach et al., PLOS ONE 2015, equation 58 (the ε rule); Kohlbrenner et al., IJCNN 2020 (arXiv
    1910.09840), for the other rules, which they measure on PASCAL VOC 2007.

    Example:
        >>> from adasise_bench.methods.gradients.lrp import Lrp
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(Lrp(), red=[[0, 2], [0, 6]])  # they add up to the output, 2
        >>> [[round(value, 3) for value in row] for row in found.saliency.tolist()]
        [[0.0, 0.5], [0.0, 1.5]]
    """

    name: Literal["lrp"] = "lrp"
    composite: CompositeName = "epsilon_plus_flat"

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """One forward, and one backward in which every layer runs anew; see :meth:`Method.explain`."""
        found = relevance(classifier, request.image, request.target, self.composite)
        return Explanation(found.sum(dim=0).clamp(min=0), forwards=1, backwards=1)

    def check(self, classifier: Classifier, image: torch.Tensor) -> None:
        """See :meth:`Method.check`."""
        if any(isinstance(layer, _BatchNorm) for layer in classifier.module.modules()):
            problem = "has batch normalisations that fold into no convolution"
        elif _sums_unseen(classifier, image, self.composite):
            problem = "adds maps up outside torchvision's residual blocks"
        else:
            return
        raise ConfigError(
            f"methods.{self.label}: {classifier.name} {problem}, for which zennit has no rule here; "
            "leave it out for this network"
        )

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One."""
        return 1

    def expected_backwards(self, maps_available: tuple[int, ...]) -> int:
        """One for each forward pass."""
        return self.expected_forwards(maps_available)


def relevance(
    classifier: Classifier, image: torch.Tensor, target: int, composite: CompositeName
) -> torch.Tensor:
    """Signed relevance of the input.

    Args:
        classifier: the network; zennit's hooks and changes are always undone.
        image: (1, 3, H, W) float32 network input.
        target: index of the class.
        composite: which rules.

    Returns:
        (3, H, W) float32; zero where the output does not depend on the input.
    """
    rules = _composite(composite)
    try:
        rules.register(classifier.module)
        with torch.enable_grad(), arithmetic("fp32", classifier.device):
            inputs = image.detach().requires_grad_()
            output = classifier.module(inputs)[:, target]
            if not output.requires_grad:
                return torch.zeros_like(image[0])
            start = output.detach() / output.numel()
            return torch.autograd.grad(output, inputs, start, materialize_grads=True)[0][0]
    finally:
        rules.remove()


def _sums_unseen(classifier: Classifier, image: torch.Tensor, composite: CompositeName) -> bool:
    """Whether the network adds up maps in a place that zennit does not know.

    zennit replaces the sums that it knows. Any other sum is in torch's graph as an addition of two tensors
    that depend on the input.
    """
    with (
        _composite(composite).context(classifier.module),
        torch.enable_grad(),
        arithmetic("fp32", classifier.device),
    ):
        waiting = [classifier.module(image.detach().clone().requires_grad_()).grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        before = [earlier for earlier, _ in node.next_functions if earlier is not None]
        if node.name().startswith("AddBackward") and len(before) > 1:
            return True
        waiting += before
    return False


class _Lowest:
    """The lowest input of each layer. The host waits for the device once, and not for every layer."""

    def __init__(self) -> None:
        self._values: list[torch.Tensor] = []

    def add(self, inputs: torch.Tensor) -> int:
        """Note the lowest of a layer's inputs in a forward pass, and return the layer's number."""
        self._values.append(inputs.min())
        return len(self._values) - 1

    @cached_property
    def negative(self) -> list[bool]:
        """Which layers have negative inputs, by number. Complete only after the forward pass."""
        return (torch.stack(self._values) < 0).tolist()


class _ZPlus(ZPlus):  # type: ignore[misc]
    """zennit's z+ rule, to the same bits. It skips the half for negative inputs where a layer has none.

    That is so behind every ReLU, and saves half of the work.
    """

    def __init__(self, lowest: _Lowest) -> None:
        super().__init__()
        self._lowest = lowest

    def copy(self) -> _ZPlus:
        """The same rule for another module."""
        return _ZPlus(self._lowest)

    def forward(self, module: nn.Module, inputs: Any, *rest: Any, **_none: Any) -> None:
        """Keep the module's input, and its lowest value on the device.

        zennit 0.5 calls a method with three parameters. zennit 1 counts the parameters: it passes the
        module's keyword arguments as well, unless there are exactly these three.
        """
        super().forward(module, inputs, *rest)
        self._number = self._lowest.add(inputs[0].detach())

    def backward(self, module: nn.Module, grad_input: Any, grad_output: Any) -> Any:
        """Relevance of the module's input, from that of its output."""
        inputs = self.stored_tensors["input"][0].detach()
        if self._lowest.negative[self._number]:
            return super().backward(module, grad_input, grad_output)
        inputs.requires_grad_()
        with self.param_modifiers[0](module), torch.enable_grad():
            output = module.forward(inputs)
        upstream = self.gradient_mapper(grad_output[0], [output])[0]
        found = inputs.detach() * torch.autograd.grad(output, inputs, upstream)[0]
        return tuple(found if entry.shape == found.shape else None for entry in grad_input)


def _composite(name: CompositeName) -> Composite:
    pooling, canonizers = (
        (MatrixAveragePool, Norm()),
        [ResNetBottleneckCanonizer(), ResNetBasicBlockCanonizer()],
    )
    if name == "epsilon_plus_flat":
        return EpsilonPlusFlat(layer_map=[pooling, (Convolution, _ZPlus(_Lowest()))], canonizers=canonizers)
    if name == "epsilon_alpha2_beta1_flat":
        return EpsilonAlpha2Beta1Flat(layer_map=[pooling], canonizers=canonizers)
    return LayerMapComposite([pooling, *layer_map_base(), (Linear, Epsilon())], canonizers=canonizers)
