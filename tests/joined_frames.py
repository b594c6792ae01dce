"""Joins the records of several runs by pandas, all in memory: the reference for the join by columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from adasise_bench.records.joining import of_measuring, refuse_disagreement, refuse_nothing
from adasise_bench.records.record import Key
from adasise_bench.records.run import Run


def combine(runs: Sequence[Run]) -> pd.DataFrame:
    """The records of several runs as one frame, with the columns of a record and ``timed_on``.

    Records with equal keys become one record. Each column takes the first value that is not null, in the
    order of ``runs``. There are two exceptions. All run-times and the memory of one method on one model
    come from the first run that has run-times for them. And an error is dropped if another run has the
    explanation. ``timed_on`` names the device and precision with which ``seconds`` was measured.

    Raises:
        ConfigError: two runs measured one model, or one method on it, under different settings, on other
            pictures, or for other classes.
        DataError: there is not one record.
    """
    refuse_disagreement(runs)
    frames = [run.records.assign(timed_on=_timed_on(run)) for run in runs if not run.records.empty]
    refuse_nothing(runs, len(frames))
    joined = _times_of_one_run(pd.concat(frames, keys=range(len(frames)), names=["run", "row"]))
    records = joined.groupby(list(Key._fields), sort=False, dropna=False).first().reset_index()
    records["error"] = records["error"].where(records["score"].isna(), None)
    return records


def _times_of_one_run(joined: pd.DataFrame) -> pd.DataFrame:
    """Drop the run-times (and memory) of a model and method from all but the first run that has any."""
    times = [column for column in joined.columns if column.startswith("seconds")]
    times += ["timed_on", "peak_memory_mb"]
    run = pd.Series(joined.index.get_level_values("run"), index=joined.index)
    timed = run.where(joined["seconds"].notna())
    first = timed.groupby([joined["model"], joined["method"]]).transform("min")
    joined[times] = joined[times].where(run == first, axis=0)
    return joined


def _timed_on(run: Run) -> pd.Series[Any]:
    return run.records["seconds"].notna().map({True: of_measuring(run), False: None})
