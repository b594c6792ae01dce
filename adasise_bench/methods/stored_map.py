"""Maps that were made before, by a run or by any other tool, and are read from files."""

from __future__ import annotations

import difflib
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from adasise_bench.data.map_files import digest_of, map_files, names_of, read_map_file
from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.registry import STORED_MAP
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError, DataError
from adasise_bench.utils.timing import PhaseClock

DEFINITION = "stored-map-v1"
"""Names how a map is read from its file, as the other methods' definitions name how theirs are computed."""


class StoredMap(Method):
    """Reads the map of a pair from a file, instead of making it.

    What a map cost is not known: there are neither run-times nor numbers of passes.

    Map: (H, W) float32, at least 0, as it is in the file. It must have the input's size, unless ``resize``
    is set; it is then resized bilinearly, without aligned corners.
    """

    makes_maps: ClassVar[bool] = False

    name: Literal["stored_map"] = STORED_MAP
    folders: dict[str, Path] = Field({}, description="by model, the folder that holds IMAGE/CLASS.npy")
    made_by: dict[str, Any] = Field(
        {}, description="name and changed options of the method that made the maps, where a run tells it"
    )
    resize: bool = Field(False, description="resize maps that do not have the input's size")
    negative: Literal["refuse", "clamp"] = Field("refuse", description="what becomes of negative values")

    @cached_property
    def files(self) -> dict[str, dict[str, list[Path]]]:
        """By model, the files that can hold maps; see :func:`.map_files`."""
        return {model: map_files(folder) for model, folder in self.folders.items()}

    def evidence(self) -> dict[str, str]:
        """A digest of all maps, so that a run does not go on with others."""
        digests = {
            f"{self.label}.maps.{model}": f"SHA-256 of {len(files)} maps: {digest_of(files, folder)}"
            for model, folder in self.folders.items()
            for files in [self.files[model]]
        }
        return {STORED_MAP: DEFINITION} | digests

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """The map in the pair's file; see :meth:`Method.explain`.

        Raises:
            BenchError: the pair has no map, or its file cannot be used; names the file and the cure.
        """
        folder = self.folders.get(classifier.name)
        if folder is None or request.image_id is None:
            raise BenchError(f"{self.label}: no stored maps of {classifier.name} for this picture")
        path = self._path(folder, classifier.name, request.image_id, classifier.classes[request.target])
        saliency = torch.from_numpy(read_map_file(path, folder))
        height, width = request.image.shape[2:]
        return Explanation(self._fitted(path, saliency, (height, width)).to(request.image.device), 0, 0)

    def requests_at_once(self, batch_size: int) -> int:
        """One, because nothing is shared."""
        return 1

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """None."""
        return 0

    def _path(self, folder: Path, model: str, image_id: str, class_name: str) -> Path:
        files, names = self.files[model], names_of(image_id, class_name)
        found = [path for name in dict.fromkeys(names) for path in files.get(name, [])]
        if len(found) > 1:
            listed = ", ".join(path.relative_to(folder).as_posix() for path in found)
            raise DataError(f"{folder}: {len(found)} maps of one pair ({listed}); keep one of them")
        if not found:
            raise DataError(
                f"{folder}: no map {names[0]}.npy (or .npz, .png){_nearest(names[0], files)}; add it"
            )
        return found[0]

    def _fitted(self, path: Path, saliency: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        if self.negative == "clamp":
            saliency = saliency.clamp(min=0)
        elif (lowest := float(saliency.min())) < 0:
            raise DataError(
                f"{path}: negative values, down to {lowest:.3g}; shift the map, or count them as 0 with "
                "--negative clamp"
            )
        if saliency.shape == size:
            return saliency
        if not self.resize:
            (height, width), (input_height, input_width) = saliency.shape, size
            raise DataError(
                f"{path}: the map has {width}x{height} pixels, and the network's input has "
                f"{input_width}x{input_height}; save it in the input's size, or resize it with --resize"
            )
        return F.interpolate(saliency[None, None], size, mode="bilinear", align_corners=False)[0, 0]


def _nearest(wanted: str, names: dict[str, list[Path]]) -> str:
    """A clause that names the most similar map of the same picture, or one that differs in capitals only."""
    image_id = wanted.partition("/")[0].casefold()
    same = [name for name in names if name.casefold().startswith(image_id)]
    folded = [name for name in same if name.casefold() == wanted.casefold()]
    nearest = folded or difflib.get_close_matches(wanted, same, n=1, cutoff=0.7)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
