"""The networks that are explained, and the engine that passes inputs through them."""

from typing import TYPE_CHECKING

from adasise_bench.utils.faces import offers

if TYPE_CHECKING:
    from adasise_bench.models.classifier import Classifier
    from adasise_bench.models.loading import load_classifier

__all__ = ["Classifier", "load_classifier"]

__getattr__ = offers(__name__, {"Classifier": "classifier", "load_classifier": "loading"})
