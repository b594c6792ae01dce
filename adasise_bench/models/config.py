"""Which networks are explained and how they are run: the configuration's sections `models` and `engine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    model_validator,
)

from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.engine import BackendChoice, LayoutName
from adasise_bench.utils.settings import Section, first_problem, shown, suggest


class ModelConfig(Section):
    """Where one network's weights come from and where its feature maps are read."""

    checkpoint: Path | None = Field(
        None, description="local file in TorchRay's format; default: the published"
    )
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-fA-F]{8,64}$", description="start of the file's SHA-256"
    )
    blocks: Literal["pool-input", "pool-output"] = "pool-input"

    def without_weights(self) -> Self:
        """The same architecture, as it is built where its weights are not needed."""
        return self.model_copy(update={"checkpoint": None, "sha256": None})


class EngineConfig(Section):
    """How forward passes are run. This moves values by rounding only. What is left out is timed."""

    layout: LayoutName | None = Field(None, description="memory layout of inputs and parameters")
    batch_size: int | None = Field(None, ge=1, le=4096, description="inputs per forward pass")
    backend: BackendChoice = Field(
        "auto",
        description="what passes whole batches; `auto`: the fastest here that agrees with torch",
    )

    @model_validator(mode="before")
    @classmethod
    def _compile_is_a_backend(cls, value: Any) -> Any:
        """Earlier configurations say with ``compile`` whether ``torch.compile`` is used."""
        if not isinstance(value, dict) or "compile" not in value:
            return value
        if "backend" in value:
            raise ValueError("engine.compile: is an older way to say engine.backend; leave it out")
        others = {name: setting for name, setting in value.items() if name != "compile"}
        wanted = value["compile"]
        if not (wanted is True or wanted is False or wanted == "auto"):
            raise ValueError("engine.compile: true, false or auto; better say engine.backend")
        return others | {"backend": {True: "torch-compile", False: "torch"}.get(wanted, "auto")}


_LIBRARIES = ("torchvision", "timm")


_SOURCES = (*_LIBRARIES, "module:function")


Channels = tuple[float, float, float]


def _usable(names: list[str] | None) -> list[str] | None:
    if names is not None and len(set(names)) < len(names):
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    for name in names or ():
        if not name.isprintable() or not name:
            raise ValueError(f"{name!r} is no printable name, as a class must have")
    return names


class CustomModel(ModelConfig):
    """A network that does not come with the tool: an entry under ``models`` that has a ``source``."""

    source: str = Field(description="`torchvision`, `timm` or `module:function`")
    arch: str | None = Field(None, description="the library's name of the architecture; default: the key")
    weights: str | None = Field(None, description="pretrained weights of the library: a name, or `DEFAULT`")
    options: dict[str, Any] = Field({}, description="keyword arguments of the function that builds it")
    classes: Annotated[list[str] | None, AfterValidator(_usable)] = Field(
        None, min_length=1, description="names of the outputs, in order; default: the data's classes"
    )
    blocks: Literal["auto"] | Annotated[list[str], Field(min_length=1)] | None = None  # type: ignore[assignment]
    tokens: int | None = Field(
        None, ge=0, le=1000, description="tokens in front of those of the positions; default: found"
    )
    mean: Channels | None = Field(None, description="subtracted from the scaled picture, per channel")
    std: Channels | None = Field(None, description="what it is then divided by, per channel")
    scale: Literal[1, 255] | None = Field(None, description="value of white before `mean` is subtracted")

    @model_validator(mode="after")
    def _consistent(self) -> CustomModel:
        library = self.source in _LIBRARIES
        if not library and ":" not in self.source:
            raise ValueError(f"source: no {shown(self.source)}{suggest(self.source, _SOURCES)}")
        if self.weights and self.checkpoint:
            raise ValueError("weights and checkpoint: one of them")
        if self.sha256 and not self.checkpoint:
            raise ValueError("sha256: is that of a `checkpoint`, and there is none")
        for name in ("arch", "weights"):
            if getattr(self, name) and not library:
                raise ValueError(f"{name}: only for {' and '.join(_LIBRARIES)}")
        if self.std and min(self.std) <= 0:
            raise ValueError("std: must be above 0")
        return self

    def without_weights(self) -> Self:
        """As above; its library then gives it random ones."""
        return super().without_weights().model_copy(update={"weights": None})


def parse_model(name: Any, entry: Any) -> Any:
    """Validate an entry under ``models`` that has a ``source``. Other entries are returned as they are.

    Raises:
        ValueError: one line that names the model, the wrong key and the nearest valid one.
    """
    if not isinstance(entry, dict) or "source" not in entry or not isinstance(name, str):
        return entry
    if name in ARCHITECTURES:
        raise ValueError(
            f"models.{name}: that is the name of a network that comes with the tool; "
            f"choose another, and set `arch: {name}`"
        )
    if not name.isprintable() or not set("/\\").isdisjoint(name) or name.startswith("."):
        raise ValueError(f"models: {name!r} cannot name a folder, as a model must")
    try:
        return CustomModel.model_validate(entry)
    except ValidationError as error:
        raise ValueError(f"models.{name}: {first_problem(error, CustomModel)}") from None
