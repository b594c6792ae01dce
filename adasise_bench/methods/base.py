"""The base of every saliency method: its options, and a function from network, input and class to a map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from adasise_bench.data.rules import Rules
from adasise_bench.methods.preserve import contained
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.workload import GradientPasses
from adasise_bench.utils.precision import PrecisionName
from adasise_bench.utils.timing import PhaseClock


@dataclass(frozen=True)
class Explanation:
    """A saliency map and what it cost.

    Attributes:
        saliency: (H, W) float32, at least 0, at the input's resolution, on the model's device.
        forwards: inputs passed forward through the network.
        backwards: inputs passed backward through the network.
        maps_kept: feature maps selected per block, from the input side; ``None`` if the method has none.
        maps_positive: feature maps with a positive summed gradient per block.
        maps_live: feature maps per block that were kept and are not constant; only these became masks.
        mask_precision: arithmetic in which the masks were scored, if a faster one than fp32 was asked for.
    """

    saliency: torch.Tensor
    forwards: int
    backwards: int
    maps_kept: list[int] | None = None
    maps_positive: list[int] | None = None
    maps_live: list[int] | None = None
    mask_precision: PrecisionName | None = None


class Method(BaseModel):
    """The options of one entry under ``methods``. Subclasses add their own options and say how to explain.

    ``label`` names the entry in records and tables, so that one method can run with several settings.
    ``ruled`` names the options that take the value of the run's rule of that name, unless the entry has one.
    ``needs_region`` says that the method must know the region of the class; only a control may.
    ``makes_maps`` says that an explanation makes its map, so that its time and passes are the map's cost.
    """

    ruled: ClassVar[tuple[str, ...]] = ()
    needs_region: ClassVar[bool] = False
    makes_maps: ClassVar[bool] = True

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Contain the methods of other packages: what they change is undone. The tool's change nothing."""
        super().__pydantic_init_subclass__(**options)
        if not cls.__module__.startswith("adasise_bench."):
            for name in {"check", "explain", "explain_together"} & vars(cls).keys():
                setattr(cls, name, (_checked if name == "check" else _explained)(vars(cls)[name]))

    name: str
    label: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._+-]*)?$", max_length=100)

    @model_validator(mode="before")
    @classmethod
    def _label_defaults_to_name(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("label"):
            return value
        return value | {"label": value.get("name") or cls.model_fields["name"].default}

    @property
    def group(self) -> str:
        """Requests of methods with equal groups may be explained together."""
        return self.label

    def changed_options(self) -> dict[str, Any]:
        """Options that differ from the method's defaults, ready for JSON."""
        defaults = type(self)(name=type(self).model_fields["name"].default).model_dump(mode="json")
        options = self.model_dump(mode="json", exclude={"name", "label"})
        return {option: value for option, value in options.items() if value != defaults.get(option)}

    def by_rules(self, rules: Rules) -> Method:
        """The method with what the run's rules say of it, where the entry does not say it itself."""
        unsaid = [rule for rule in self.ruled if rule not in self.model_fields_set]
        ruled = self.model_copy(update={rule: getattr(rules, rule) for rule in unsaid})
        ruled.model_fields_set.difference_update(unsaid)  # the entry still does not say it
        return ruled

    def identity(self) -> dict[str, Any]:
        """What values depend on, ready for JSON. Options of later versions are left out at their default."""
        return self.model_dump(mode="json")

    def evidence(self) -> dict[str, str]:
        """What the values depend on beside the options, such as hashes of files, by name.

        Raises:
            BenchError: it cannot be found out.
        """
        return {}

    def check_settings(self) -> None:
        """Refuse settings that the method cannot run with on any network, before anything is loaded.

        Raises:
            ConfigError: one line naming what is missing.
        """

    def check(self, classifier: Classifier, image: torch.Tensor) -> None:
        """Refuse a network that the method cannot explain, before anything is explained or timed.

        What all explanations share can be prepared here, where it does not count as their time.

        Args:
            classifier: the network; left as it was found.
            image: (1, 3, H, W) noise of the size of the inputs to come.

        Raises:
            ConfigError: one line naming the method or option, the network, and the cure.
        """

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """Explain one class of one image.

        Args:
            classifier: the network; left as it was found.
            request: what to explain; its ``method`` is this one.
            clock: receives the seconds of each phase.
        """
        raise NotImplementedError  # pragma: no cover

    def requests_at_once(self, batch_size: int) -> int | None:
        """How many requests :meth:`explain_together` takes; ``None`` for all of one image.

        Args:
            batch_size: inputs per pass with gradients.
        """
        return None

    def explain_together(self, classifier: Classifier, requests: Sequence[Request]) -> list[Explanation]:
        """Explain requests of this method's group with less work than one by one, to the same values.

        Args:
            classifier: the network; left as it was found.
            requests: of one image, or :meth:`requests_at_once` with inputs of one size.
        """
        clock = PhaseClock(classifier.device)
        return [request.method.explain(classifier, request, clock) for request in requests]

    def on_network(self, name: str) -> Method:
        """The method with those options filled in that a network decides; what is planned is asked of it.

        Args:
            name: the network's, as in the configuration.
        """
        return self

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int | None:
        """Forward passes that one explanation is expected to take, for planning; ``None`` where unknown.

        Args:
            maps_available: number of feature maps of each block of the network, from the input side.
        """
        raise NotImplementedError  # pragma: no cover

    def expected_backwards(self, maps_available: tuple[int, ...]) -> int:
        """Inputs that one explanation is expected to pass backward, for planning; by default none.

        Args:
            maps_available: as in :meth:`expected_forwards`.
        """
        return 0

    @classmethod
    def expected_together(
        cls, methods: Sequence[Method], maps_available: tuple[int, ...], classes: int
    ) -> int | None:
        """Forward passes that the classes of one picture are expected to take together, for planning.

        By default nothing is shared.

        Args:
            methods: of one group and of this class; what :meth:`explain_together` shares counts once.
            maps_available: as in :meth:`expected_forwards`.
            classes: number of classes of the picture.
        """
        each = [method.expected_forwards(maps_available) for method in methods]
        return None if None in each else classes * sum(filter(None, each))

    def scored_inputs(self, maps_available: tuple[int, ...]) -> range:
        """How many inputs one explanation scores in whole batches; numbers in the range are equally likely.

        The batch size is chosen by it; see :class:`adasise_bench.models.workload.Workload`. The range is
        empty for a method that scores none, or whose number is unknown.

        Args:
            maps_available: number of feature maps of each block of the network, from the input side.
        """
        return range(0)

    def gradient_passes(self) -> GradientPasses | None:
        """The passes with gradients that a backend may compute; ``None`` for a method that has none."""
        return None


class Request(NamedTuple):
    """One wanted explanation.

    Attributes:
        method: the method, with its options.
        image: (1, 3, H, W) float32 network input on the classifier's device.
        target: index of the class to explain.
        seed: where the explanation's random numbers begin, if the method draws any.
        inside: (H, W) bool, the class's region G on the CPU, where it is known; only the box oracle may
            look at it.
        image_id: name of the picture in its data set, where it is of one; only stored maps are found by it.
    """

    method: Method
    image: torch.Tensor
    target: int
    seed: int = 0
    inside: torch.Tensor | None = None
    image_id: str | None = None


def _checked(function: Callable[..., None]) -> Callable[..., None]:
    """``check`` of another package: it gets a copy of the image, and what it changes is undone."""

    @wraps(function)
    def call(self: Method, classifier: Classifier, image: torch.Tensor) -> None:
        with contained(self.name, classifier.module, 0, classifier.device):
            function(self, classifier, image.clone())

    return call


def _explained(function: Callable[..., Any]) -> Callable[..., Any]:
    """``explain`` or ``explain_together`` of another package: it gets copies, and what it changes is undone.

    The maps are copied as well, so that a method may write its next map into the same memory.
    """

    @wraps(function)
    def call(self: Method, classifier: Classifier, asked: Any, *others: Any) -> Any:
        several = not isinstance(asked, Request)
        requests: list[Request] = list(asked) if several else [asked]
        images = {id(request.image): request.image.clone() for request in requests}
        copies = [request._replace(image=images[id(request.image)]) for request in requests]
        with contained(self.name, classifier.module, requests[0].seed, classifier.device):
            made = function(self, classifier, copies if several else copies[0], *others)
        owned = [replace(one, saliency=one.saliency.clone()) for one in (made if several else [made])]
        return owned if several else owned[0]

    return call
