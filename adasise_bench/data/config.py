"""Which pictures are explained, and how they enter the network: the configuration's section `data`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)

from adasise_bench.data.class_names import refuse_unusable
from adasise_bench.data.voc import DEFAULT_ROOT
from adasise_bench.utils.settings import Section

if TYPE_CHECKING:
    pass

EMBEDDED = "embedded"


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
            raise ValueError(
                "data.download: COCO is not downloaded for you; docs/data-sets.md says where to get it"
            )
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
        """The settings that values depend on. Those for other data sets are left out at their defaults."""
        dump = self.model_dump(mode="json", exclude={"root", "download", "images", "annotations"})
        defaults = {"layout": "voc", "region": "boxes", "classes": None}
        return {key: value for key, value in dump.items() if key not in defaults or value != defaults[key]}


DataKind = Literal["voc", "coco", "scenes"]
