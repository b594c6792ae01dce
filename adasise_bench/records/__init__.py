"""What a run writes into its folder, and everything that reads it again."""

from typing import TYPE_CHECKING

from adasise_bench.utils.faces import offers

if TYPE_CHECKING:
    from adasise_bench.records.run import Run, load_run

__all__ = ["Run", "load_run"]

__getattr__ = offers(__name__, {"Run": "run", "load_run": "run"})
