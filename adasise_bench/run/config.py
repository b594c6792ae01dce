"""The configuration of a run: which pictures are explained, by which methods, on which networks."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from adasise_bench.data.config import DataConfig
from adasise_bench.data.rules import PROTOCOL, Rules
from adasise_bench.data.selection import parse_shard
from adasise_bench.methods import Method
from adasise_bench.methods.parsing import parse_method
from adasise_bench.metrics.registry import EXTRA
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.config import EngineConfig, ModelConfig
from adasise_bench.utils.precision import PrecisionName
from adasise_bench.utils.settings import Section, suggest


class TimingConfig(Section):
    """How run-time is measured."""

    warmup: int = Field(
        0, ge=0, description="explanations that each method makes and discards on each model before timing"
    )


def _method_entries(value: Any) -> Any:
    if isinstance(value, list):
        return [parse_method(entry) for entry in value]
    return value


def _extra_metrics(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in EXTRA:
            raise ValueError(f"extra_metrics: no metric {name!r}{suggest(name, EXTRA)}")
    return tuple(name for name in EXTRA if name in names)


def _model_entries(value: Any) -> Any:
    from adasise_bench.models.config import parse_model

    if isinstance(value, dict):
        return {name: parse_model(name, entry) for name, entry in value.items()}
    return value


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name):
        raise ValueError(f"device: must be auto, cpu, cuda, cuda:N or mps, not {name!r}")
    return name


def _shard(text: str) -> str:
    parse_shard(text)
    return text


class RunConfig(Section):
    """Everything that defines a run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    data: DataConfig = DataConfig()
    rules: Rules = Field(
        PROTOCOL, description="`protocol`, `authors-code` or a mapping of rules, where sources differ"
    )
    models: Annotated[
        dict[str, SerializeAsAny[ModelConfig]], BeforeValidator(_model_entries), Field(min_length=1)
    ]
    methods: Annotated[list[SerializeAsAny[Method]], BeforeValidator(_method_entries), Field(min_length=1)]
    extra_metrics: Annotated[tuple[str, ...], AfterValidator(_extra_metrics)] = Field(
        (), description="metrics that take further passes through the network; earlier versions: `measures`"
    )
    score: Literal["softmax", "sigmoid", "logit", "probability"] = "softmax"
    precision: PrecisionName = "fp32"
    device: Annotated[str, AfterValidator(_device)] = "auto"
    engine: EngineConfig = EngineConfig()
    share_forwards: bool = Field(
        False, description="explain several pictures and classes together; run-times are then not measured"
    )
    deterministic: bool = Field(
        False, description="make records that are equal to the bit on the same device, with a fixed engine"
    )
    seed: int = Field(0, ge=0)
    timing: TimingConfig = TimingConfig()
    limit: int | None = Field(None, ge=1, description="stop after the first N pictures")
    shard: Annotated[str, AfterValidator(_shard)] | None = Field(
        None, description="`I/N`: explain only part I of N of the pictures"
    )
    save_maps: bool = False
    tolerated_errors: int = Field(0, ge=0, description="explanations that may fail in a successful run")

    @model_validator(mode="before")
    @classmethod
    def _earlier_names(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "measures" not in given:
            return given
        if "extra_metrics" in given:
            raise ValueError("extra_metrics: called `measures` in earlier versions; write only one of them")
        return {key: value for key, value in given.items() if key != "measures"} | {
            "extra_metrics": given["measures"]
        }

    @field_validator("methods", mode="after")
    @classmethod
    def _by_the_rules(cls, methods: list[Method], known: ValidationInfo) -> list[Method]:
        return [method.by_rules(known.data.get("rules", PROTOCOL)) for method in methods]

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        if self.data.layout == "coco" and self.rules.corners != PROTOCOL.corners:
            raise ValueError(
                "rules.corners: COCO's boxes are not counted from 1, so that there is no 1 to leave out; "
                f"set rules.corners to {PROTOCOL.corners}"
            )
        labels = [method.label for method in self.methods]
        repeated = {label for label in labels if labels.count(label) > 1}
        if repeated:
            raise ValueError(
                f"methods: label {sorted(repeated)[0]!r} is used twice; give each entry a `label` of its own"
            )
        if self.share_forwards and self.timing.warmup:
            raise ValueError("share_forwards: run-times are not measured then; set timing.warmup to 0")
        if self.deterministic and self.share_forwards:
            raise ValueError(
                "deterministic: every explanation is then made alone; set share_forwards to false"
            )
        if self.deterministic and self.engine.backend == "torch-compile":
            raise ValueError("deterministic: compiled networks are not; set engine.backend to torch")
        if self.device == "mps" and self.precision != "fp32":
            raise ValueError(
                f"precision: {self.precision} has not been compared with fp32 on mps; set precision to fp32, "
                "or device to cpu"
            )
        if self.device == "mps" and self.deterministic:
            raise ValueError(
                "deterministic: torch does not promise to repeat its results on mps; set deterministic to "
                "false, or device to cpu"
            )
        for name, model in self.models.items():
            if type(model) is not ModelConfig:
                continue
            if name not in ARCHITECTURES:
                known = ", ".join(ARCHITECTURES)
                raise ValueError(f"models: no model {name!r}; choose {known}, or give it a `source`")
            if self.score == "probability":
                raise ValueError(
                    f"score: {name} gives raw outputs and no probabilities; set score to softmax or sigmoid"
                )
            data = self.data
            ARCHITECTURES[name].check(name, model.blocks, data.kind, data.resize, data.input_size)
        return self

    def written(self) -> dict[str, Any]:
        """The whole configuration, ready for a file that is read again.

        What a method has from the run's rules is left out of its entry, so that ``--set rules=...`` on that
        file changes it as well.
        """
        tree = self.model_dump(mode="json")
        for entry, method in zip(tree["methods"], self.methods, strict=True):
            for rule in set(method.ruled) - method.model_fields_set:
                del entry[rule]
        return tree

    def identity(self) -> dict[str, Any]:
        """The part of the configuration that a value in the results can depend on, ready for JSON.

        Paths are left out, because the hashes of weights and data are recorded. So is everything that only
        says how much is done, or how it is spread over the hardware. ``deterministic`` and the extra metrics
        are included if they are set, and the rules if they are not the protocol's.
        """
        dump = self.model_dump(
            mode="json",
            exclude={"name": True, "device": True, "limit": True, "shard": True, "save_maps": True,
                     "tolerated_errors": True, "engine": True, "data": True,
                     "methods": True, "models": {name: {"checkpoint", "sha256"} for name in self.models}},
        )  # fmt: skip
        if not self.deterministic:
            del dump["deterministic"]
        if self.rules == PROTOCOL:
            del dump["rules"]
        # Folders and baselines of earlier versions contain their earlier name.
        if asked := dump.pop("extra_metrics"):
            dump["measures"] = asked
        methods = {method.label: method.identity() for method in self.methods}
        return dump | {"methods": methods, "data": self.data.identity(), "embedded": self.data.embedded}

    def digest(self) -> str:
        """First 8 hex digits of the SHA-256 of :meth:`identity` and the chosen weights."""
        checkpoints = {name: str(model.checkpoint) for name, model in self.models.items() if model.checkpoint}
        own = [str(path) for path in (self.data.images, self.data.annotations) if path]
        text = json.dumps([self.identity(), checkpoints, str(self.data.root), *own], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]
