"""The run configuration: what is measured, on which pictures, with which models and methods."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    model_validator,
)

from adasise_bench.data.class_names import refuse_unusable
from adasise_bench.data.selection import parse_shard
from adasise_bench.data.voc import DEFAULT_ROOT
from adasise_bench.methods import MethodOptions, parse_method
from adasise_bench.metrics.network_metrics import NETWORK_MEASURES
from adasise_bench.models import ARCHITECTURES, DataKind
from adasise_bench.models.engine import CompileChoice, LayoutName
from adasise_bench.utils.settings import suggest

EMBEDDED = "embedded"


class Section(BaseModel):
    """A part of the configuration; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    """Which pictures are explained and how they enter the network."""

    layout: Literal["voc", "coco"] = "voc"
    root: Path = Field(
        DEFAULT_ROOT,
        description="folder that holds VOCdevkit, or COCO's val2014 and annotations, or `embedded` for the "
        "drawn scenes",
    )
    year: Annotated[str, BeforeValidator(lambda year: str(year) if isinstance(year, int) else year)] = "2007"
    image_set: str = "test"
    images: Path | None = Field(None, description="folder of one's own pictures in COCO layout")
    annotations: Path | None = Field(None, description="JSON of one's own annotations in COCO layout")
    classes: tuple[str, ...] | None = Field(
        None, min_length=1, description="class names of one's own set, in the order of a network's outputs"
    )
    region: Literal["boxes", "masks"] = Field("boxes", description="what of an object counts as inside")
    download: bool = Field(False, description="fetch VOC 2007 when `root` has none (MD5 verified)")
    sample: int | None = Field(None, ge=1, description="explain this many pictures drawn at random by `seed`")
    resize: Literal["stretch", "short-side"] = "stretch"
    input_size: int = Field(224, ge=32, le=1024, description="pixels of the input's (shorter) side")

    @model_validator(mode="before")
    @classmethod
    def _set_of_the_layout(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("layout") == "coco":
            return {"year": "2014", "image_set": "val"} | given
        return given

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if self.classes is not None:
            if self.embedded:
                raise ValueError("data.classes: the drawn scenes have their own")
            try:
                refuse_unusable(self.classes)
            except ValueError as error:
                raise ValueError(f"data.classes: {error}") from None
        if self.layout == "voc":
            for key in ("images", "annotations"):
                if getattr(self, key) is not None:
                    raise ValueError(f"data.{key}: needs data.layout=coco")
            if self.region != "boxes":
                raise ValueError("data.region: masks need data.layout=coco; VOC's annotations are boxes")
            return self
        if self.download:
            raise ValueError("data.download: COCO is not fetched for you (README, Other data sets)")
        if self.embedded:
            raise ValueError("data.layout: the drawn scenes are in VOC layout")
        if not (self.year.isalnum() and self.image_set.isalnum()):
            raise ValueError("data.year, data.image_set: letters and digits, such as 2014 and val")
        return self

    @property
    def embedded(self) -> bool:
        """Whether the drawn scenes that come with the tool are meant."""
        return self.root == Path(EMBEDDED)

    @property
    def kind(self) -> DataKind:
        """Which networks fit."""
        return "scenes" if self.embedded else self.layout

    def identity(self) -> dict[str, Any]:
        """What values depend on; keys that other data sets need are there where they are not the default."""
        dump = self.model_dump(mode="json", exclude={"root", "download", "images", "annotations"})
        defaults = {"layout": "voc", "region": "boxes", "classes": None}
        return {key: value for key, value in dump.items() if key not in defaults or value != defaults[key]}


class ModelConfig(Section):
    """Where one network's weights come from and where its feature maps are read."""

    checkpoint: Path | None = Field(
        None, description="local file in TorchRay's format; default: the published"
    )
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-fA-F]{8,64}$", description="start of the file's SHA-256"
    )
    blocks: Literal["pool-input", "pool-output"] = "pool-input"


class TimingConfig(Section):
    """How run-time is measured."""

    warmup: int = Field(
        0, ge=0, description="whole explanations discarded per model and method before timing"
    )


class EngineConfig(Section):
    """How forward passes are run, which moves values by rounding only; what is left out is measured."""

    layout: LayoutName | None = Field(None, description="memory layout of inputs and parameters")
    batch_size: int | None = Field(None, ge=1, le=4096, description="inputs per forward pass")
    compile: CompileChoice = Field(
        "auto", description="use torch.compile; `auto`: on a GPU, in a long run, where it pays"
    )


def _method_entries(value: Any) -> Any:
    if isinstance(value, list):
        return [parse_method(entry) for entry in value]
    return value


def _network_measures(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in NETWORK_MEASURES:
            raise ValueError(f"measures: no measure {name!r}{suggest(name, NETWORK_MEASURES)}")
    return tuple(name for name in NETWORK_MEASURES if name in names)


def _model_entries(value: Any) -> Any:
    from adasise_bench.models.custom import parse_model

    if isinstance(value, dict):
        return {name: parse_model(name, entry) for name, entry in value.items()}
    return value


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError(f"device: auto, cpu, cuda or cuda:N, not {name!r}")
    return name


def _shard(text: str) -> str:
    parse_shard(text)
    return text


class RunConfig(Section):
    """Everything that defines a run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    data: DataConfig = DataConfig()
    models: Annotated[
        dict[str, SerializeAsAny[ModelConfig]], BeforeValidator(_model_entries), Field(min_length=1)
    ]
    methods: Annotated[
        list[SerializeAsAny[MethodOptions]], BeforeValidator(_method_entries), Field(min_length=1)
    ]
    measures: Annotated[tuple[str, ...], AfterValidator(_network_measures)] = Field(
        (), description="what else to measure, each by further passes through the network"
    )
    score: Literal["softmax", "sigmoid", "logit", "probability"] = "softmax"
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"
    device: Annotated[str, AfterValidator(_device)] = "auto"
    engine: EngineConfig = EngineConfig()
    share_forwards: bool = Field(
        False, description="explain pictures and classes together; run-time is then not measured"
    )
    deterministic: bool = Field(
        False, description="bit-identical records on the same device, with a fixed engine"
    )
    seed: int = Field(0, ge=0)
    timing: TimingConfig = TimingConfig()
    limit: int | None = Field(None, ge=1, description="stop after the first N pictures")
    shard: Annotated[str, AfterValidator(_shard)] | None = Field(
        None, description="`I/N`: only the I-th of N parts of the pictures"
    )
    save_maps: bool = False
    tolerated_errors: int = Field(0, ge=0, description="failed explanations that still count as success")

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        labels = [method.label for method in self.methods]
        repeated = {label for label in labels if labels.count(label) > 1}
        if repeated:
            raise ValueError(
                f"methods: label {sorted(repeated)[0]!r} is used twice; give each entry its `label`"
            )
        if self.share_forwards and self.timing.warmup:
            raise ValueError("share_forwards: no run-time is measured then; set timing.warmup to 0")
        if self.deterministic and self.share_forwards:
            raise ValueError(
                "deterministic: every explanation is made alone then; set share_forwards to false"
            )
        if self.deterministic and self.engine.compile is True:
            raise ValueError("deterministic: compiled networks are not; set engine.compile to false")
        for name, model in self.models.items():
            if type(model) is not ModelConfig:
                continue
            if name not in ARCHITECTURES:
                known = ", ".join(ARCHITECTURES)
                raise ValueError(f"models: no model {name!r}; there are {known}, or those with a `source`")
            if self.score == "probability":
                raise ValueError(
                    f"score: {name} gives raw outputs, no probabilities; set score to softmax or sigmoid"
                )
            data = self.data
            ARCHITECTURES[name].check(name, model.blocks, data.kind, data.resize, data.input_size)
        return self

    def identity(self) -> dict[str, Any]:
        """The part of the configuration that a value in the results can depend on, ready for JSON.

        Paths are left out, since the weights' and the data's own hashes are recorded; so is everything
        that only says how much is done or how it is spread over the hardware. ``deterministic`` and
        ``measures`` are there where they are set.
        """
        dump = self.model_dump(
            mode="json",
            exclude={"name": True, "device": True, "limit": True, "shard": True, "save_maps": True,
                     "tolerated_errors": True, "engine": True, "data": True,
                     "models": {name: {"checkpoint", "sha256"} for name in self.models}},
        )  # fmt: skip
        if not self.deterministic:
            del dump["deterministic"]
        if not self.measures:
            del dump["measures"]
        methods = {entry["label"]: entry for entry in dump["methods"]}
        return dump | {"methods": methods, "data": self.data.identity(), "embedded": self.data.embedded}

    def digest(self) -> str:
        """First 8 hex digits of the SHA-256 of :meth:`identity` and the chosen weights."""
        checkpoints = {name: str(model.checkpoint) for name, model in self.models.items() if model.checkpoint}
        own = [str(path) for path in (self.data.images, self.data.annotations) if path]
        text = json.dumps([self.identity(), checkpoints, str(self.data.root), *own], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]
