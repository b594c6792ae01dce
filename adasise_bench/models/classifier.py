"""A trained classifier: what methods and metrics know of a network, and how they pass inputs through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from adasise_bench.data.transforms import CAFFE, Preprocessing
from adasise_bench.models.backends import BACKENDS
from adasise_bench.models.backends.gradient_graph import Objective
from adasise_bench.models.backends.input_gradients import InputGradients
from adasise_bench.models.backends.probe import Probe
from adasise_bench.models.backends.torch import Torch
from adasise_bench.models.backends.whole_batches import WholeBatches
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.engine import LAYOUTS, Engine, LayoutName
from adasise_bench.models.kernel_choice import kernels_timed
from adasise_bench.models.score import ScoreName, image_level, monotone_psi, psi
from adasise_bench.models.tokens import MapLayout, layout_of
from adasise_bench.utils.devices import to_float64
from adasise_bench.utils.precision import PrecisionName, arithmetic


@dataclass(frozen=True)
class Weights:
    """Where a network's weights come from: file name, SHA-256, and whether TorchRay published them."""

    file: str
    sha256: str
    published: bool


@dataclass(frozen=True)
class BlockMaps:
    """Feature maps of one block for one image.

    Attributes:
        maps: (K, h, w) float32, without gradient.
        gradients: (T, K) float64, the summed gradient σ_k of every map for each of T classes. NaN and
            infinity are possible.
    """

    maps: torch.Tensor
    gradients: torch.Tensor


@dataclass(frozen=True)
class Classifier:
    """A network in evaluation mode with named blocks, on one device.

    Attributes:
        name: name of the architecture, as in the configuration.
        module: takes (N, 3, H, W) inputs and gives (N, C) or (N, C, h, w) raw outputs; or probabilities,
            where ``score`` is ``probability``.
        classes: the C class names in output order.
        blocks: names of the modules whose outputs are the last feature maps of the blocks, from the input
            side.
        score: the score Ψ used for gradients, mask weights and metrics.
        precision: arithmetic in which masked inputs are scored; feature maps and gradients are always fp32.
        weights: where the weights come from.
        device: where the network is.
        batch_size: inputs per forward pass. It is the engine's, unless memory has run out.
        engine: how forward passes are run.
        backend: what passes whole batches through the module, as the engine says; ``None`` where torch does.
        gradients: what computes gradients of inputs, where the backend does.
        preprocessing: how a picture's pixels become its inputs.
        definition: which code built the network, where this is not the tool's own.
        maps: number of feature maps of each block, where it is not known from the architecture's name.
        times_kernels: whether cuDNN times its kernels for whole batches, which pays if many have the same
            shape.
        layouts: memory layouts in which the network runs.
        outputs_add_up: whether the outputs are probabilities that add up to 1 (``score`` is ``probability``).
        prefixes: the possible numbers of tokens in front of those of a transformer's positions, see
            :func:`.layout_of`.
    """

    name: str
    module: nn.Module
    classes: tuple[str, ...]
    blocks: tuple[str, ...]
    score: ScoreName
    precision: PrecisionName
    weights: Weights
    device: torch.device
    batch_size: BatchSize
    engine: Engine
    backend: WholeBatches | None = None
    gradients: InputGradients | None = None
    preprocessing: Preprocessing = CAFFE
    definition: str | None = None
    maps: tuple[int, ...] = ()
    times_kernels: bool = False
    layouts: tuple[LayoutName, ...] = tuple(LAYOUTS)
    outputs_add_up: bool = False
    prefixes: tuple[int, ...] = (0, 1)

    def with_maps(self, maps: tuple[int, ...]) -> Classifier:
        """The same network, which now knows how many feature maps its blocks have."""
        return replace(self, maps=maps)

    def with_engine(self, engine: Engine) -> Classifier:
        """The same network, run as ``engine`` says in its precision. The module's layout changes in place."""
        module = self.module.to(memory_format=LAYOUTS[engine.layout])
        backend, gradients = None, None
        if engine.backend != "torch":
            reference = Torch(module, self.device)
            chosen = BACKENDS[engine.backend](module, self.device, self.preprocessing)
            common = chosen, reference, self.precision, f"models.{self.name}"
            backend = WholeBatches(*common, Probe(self.preprocessing, self.score))
            if chosen.differentiates:
                gradients = InputGradients(*common, self.preprocessing)
        prepared = replace(self, engine=engine, backend=backend, gradients=gradients)
        return replace(prepared, batch_size=BatchSize(engine.batch_size, release=prepared.release))

    def release(self) -> None:
        """Give back the memory of all passes that were prepared. They are prepared anew when used."""
        for prepared in (self.backend, self.gradients):
            if prepared is not None:
                prepared.release()

    def empty_batch(self, image: torch.Tensor) -> torch.Tensor:
        """Inputs for a whole batch of the size of ``image``, in the network's layout, without values yet."""
        shape = (self.batch_size.value, *image.shape[1:])
        return torch.empty(
            shape, dtype=image.dtype, device=image.device, memory_format=LAYOUTS[self.engine.layout]
        )

    def run_whole_batch(self, image: torch.Tensor) -> None:
        """Pass one whole batch, so that kernels are chosen and compiled. It is halved until it fits.

        Args:
            image: (1, 3, H, W) network input that fills the batch.

        Raises:
            DeviceError: a single input does not fit in memory.
        """
        while self.batch_size.attempt(lambda: self.scores(self.empty_batch(image).copy_(image))) is None:
            pass

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Raw outputs at image level, (N, C). Where the output has positions, it is averaged over them."""
        return image_level(self.module(inputs))

    def scores(self, inputs: torch.Tensor) -> torch.Tensor:
        """Ψ of every class for (N, 3, H, W) masked inputs, in the run's precision: (N, C) float32.

        A mean over many masks forgives rounding. What describes the network itself asks for
        :meth:`reference_scores`.
        """
        return self._scores(inputs, self.precision)

    def reference_scores(self, inputs: torch.Tensor) -> torch.Tensor:
        """Ψ of every class for (N, 3, H, W) inputs in fp32, whatever the run's precision: (N, C) float32."""
        return self._scores(inputs, "fp32")

    @torch.no_grad()
    def _scores(self, inputs: torch.Tensor, precision: PrecisionName) -> torch.Tensor:
        """Only whole batches pass through the backend, which prepares itself for few shapes."""
        whole = len(inputs) == self.batch_size.value
        with kernels_timed(self.times_kernels and whole):
            if self.backend is not None and whole:
                outputs = self.backend(inputs, precision)
            else:
                outputs = Torch(self.module, self.device).in_precision(precision)(inputs)
        return psi(image_level(outputs), self.score)

    def input_gradient(
        self, inputs: torch.Tensor, targets: torch.Tensor, objective: Objective
    ) -> torch.Tensor:
        """Gradient of an objective with respect to the inputs, in the run's precision: (N, 3, H, W).

        Args:
            inputs: (N, 3, H, W) network inputs.
            targets: (N,) int64 classes.
            objective: what is differentiated, a function of the raw outputs and the targets.
        """
        if self.gradients is not None:
            return self.gradients(inputs, targets, objective, self.precision)
        reference = Torch(self.module, self.device)
        return reference.prepare_gradient(inputs, targets, objective, self.precision)(inputs, targets)

    def block_maps(self, image: torch.Tensor, targets: Sequence[int]) -> list[BlockMaps]:
        """Feature maps of all blocks and their summed gradients, by one forward and one backward per class.

        The graph starts at the maps of the first block. The parameters' ``requires_grad`` therefore does not
        matter, and stays as it is.

        Args:
            image: (1, 3, H, W) network input.
            targets: indices of the T classes whose scores are differentiated.
        """
        with self._captured_maps(image) as captured, torch.enable_grad(), arithmetic("fp32", self.device):
            outputs = self.outputs(image)
            objectives = monotone_psi(outputs, self.score, add_up=self.outputs_add_up)[0]
            gradients = [
                [
                    to_float64(gradient[0]).sum(dim=(1, 2))
                    for gradient in torch.autograd.grad(objectives[target], captured, retain_graph=True)
                ]
                for target in targets
            ]
        return [
            BlockMaps(maps[0].detach(), torch.stack(of_block))
            for maps, of_block in zip(captured, zip(*gradients, strict=True), strict=True)
        ]

    @torch.no_grad()
    def maps_available(self, image: torch.Tensor) -> list[int]:
        """Number of feature maps of each block."""
        with self._captured_maps(image) as captured:
            self.outputs(image)
        return [maps.shape[1] for maps in captured]

    def layout_of(self, output: object, image: torch.Tensor) -> MapLayout | None:
        """How a module's output holds feature maps; ``None`` if it holds none.

        Args:
            output: what the module returned.
            image: (N, 3, H, W) network input.
        """
        return layout_of(output, (image.shape[2], image.shape[3]), self.prefixes)

    @contextmanager
    def _captured_maps(self, image: torch.Tensor) -> Iterator[list[torch.Tensor]]:
        """Collect the blocks' maps in the forward passes of the body; hooks are always removed."""
        captured: list[torch.Tensor] = []

        def capture(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
            layout = self.layout_of(output, image)
            if layout is None:
                raise ValueError(f"an output of shape {tuple(output.shape)} holds no feature maps")
            maps = layout.maps(output)
            if not captured:
                maps = maps.detach().requires_grad_(torch.is_grad_enabled())
            captured.append(maps)
            return layout.output(maps, output)

        hooks = [self.module.get_submodule(block).register_forward_hook(capture) for block in self.blocks]
        try:
            yield captured
        finally:
            for hook in hooks:
                hook.remove()
