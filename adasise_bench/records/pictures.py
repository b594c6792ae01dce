"""The pictures and saliency maps behind the records of a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from adasise_bench.data.config import DataConfig
from adasise_bench.data.dataset import Annotation, Dataset
from adasise_bench.data.loading import open_dataset
from adasise_bench.records import folder as run_folder
from adasise_bench.records.folder_names import CONFIG
from adasise_bench.records.maps import read_map
from adasise_bench.records.record import Key
from adasise_bench.records.run import Run
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.settings import first_problem


@dataclass(frozen=True)
class Gallery:
    """The pictures and maps of one run.

    Attributes:
        folder: the run folder.
        dataset: the pictures that were explained, where the configuration says they are.
        digests: SHA-256 of every picture with its annotation when it was explained.
    """

    folder: Path
    dataset: Dataset
    digests: Mapping[str, str]

    @classmethod
    def of(cls, run: Run) -> Gallery:
        """Open the pictures of a run.

        Raises:
            DataError: they are no longer where the run's configuration says, or the folder is damaged.
        """
        try:
            data = DataConfig.model_validate(run.config["data"])
        except ValidationError as error:
            problem = first_problem(error, DataConfig)
            raise DataError(f"{run.folder / CONFIG}: damaged: data: {problem}; run again") from None
        data = data.model_copy(update={"download": False})
        return cls(run.folder, open_dataset(data), run_folder.picture_hashes(run.folder))

    def annotation(self, image_id: str) -> Annotation:
        """The annotation of one picture.

        Raises:
            DataError: it cannot be used.
        """
        if image_id not in self.dataset.images:
            raise DataError(
                f"{self.folder}: no picture {image_id!r} in {self.dataset.name}; bring it back or run again"
            )
        return self.dataset.annotation(image_id)

    def picture(self, image_id: str) -> Image.Image:
        """One picture as RGB.

        Raises:
            DataError: it is missing or damaged, or it is not the picture that was explained.
        """
        annotation = self.annotation(image_id)
        if self.digests.get(image_id) != self.dataset.digest(image_id):
            path = self.dataset.images[image_id]
            raise DataError(
                f"{path}: not the picture that {self.folder} explained; bring it back or run again"
            )
        return self.dataset.picture(image_id, annotation)

    def saliency(self, key: Key) -> NDArray[np.float32]:
        """The (H, W) float32 map of one record, at the network input's resolution.

        Raises:
            DataError: it was not saved, or is damaged.
        """
        return read_map(self.folder, key)
