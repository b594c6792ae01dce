"""Pictures, their annotations, and the way they enter a network."""

from typing import TYPE_CHECKING

from adasise_bench.utils.faces import offers

if TYPE_CHECKING:
    from adasise_bench.data.config import DataConfig
    from adasise_bench.data.dataset import Dataset
    from adasise_bench.data.loading import open_dataset

__all__ = ["DataConfig", "Dataset", "open_dataset"]

__getattr__ = offers(__name__, {"DataConfig": "config", "Dataset": "dataset", "open_dataset": "loading"})
