"""One reading per sensor and moment: what a batch repeats, and what it revises.

A later arrival that adds nothing to what is known is a duplicate. One that adds or changes a
quantity is a revision: the last to arrive wins per quantity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge.batch import Batch
from urbanos_edge.reading import QUANTITY_NAMES

MERGED: Final = (*QUANTITY_NAMES, "reported_aqi")

Rows = npt.NDArray[np.intp]


@dataclass(slots=True)
class Merged:
    """A batch with distinct identities, and how many arrivals it lost on the way."""

    batch: Batch
    duplicates: int
    revisions: int


def merge_within(batch: Batch) -> Merged:
    """Fold arrivals of the same identity into the last one; rows come out by sensor and time."""
    order = np.lexsort((batch["timestamp_us"], batch["sensor"]))  # stable: arrival order survives
    batch = batch.take(order)
    depth = _depth_in_run(batch["sensor"], batch["timestamp_us"])
    revisions = 0
    for level in range(1, int(depth.max(initial=0)) + 1):
        rows = np.flatnonzero(depth == level)
        revisions += int(fill_from(batch, rows, {n: batch[n][rows - 1] for n in MERGED}).sum())
    is_last = np.append(depth[1:] == 0, True)[: len(batch)]
    repeated = int((depth > 0).sum())
    return Merged(batch.take(is_last), repeated - revisions, revisions)


def fill_from(
    batch: Batch, rows: Rows, older: dict[str, npt.NDArray[Any]]
) -> npt.NDArray[np.bool_]:
    """Give `rows` the values they lack from `older`; return which of them say something new."""
    says_new = np.zeros(len(rows), dtype=bool)
    for name in MERGED:
        newer = batch[name][rows]
        lacking = np.isnan(newer)
        says_new |= ~lacking & (newer != older[name])
        batch[name][rows] = np.where(lacking, older[name], newer)
    return says_new


def _depth_in_run(sensor: npt.NDArray[Any], timestamp_us: npt.NDArray[Any]) -> Rows:
    """How many rows of the same identity stand directly before each row of a sorted batch."""
    same = np.zeros(len(sensor), dtype=bool)
    same[1:] = (sensor[1:] == sensor[:-1]) & (timestamp_us[1:] == timestamp_us[:-1])
    position = np.arange(len(sensor))
    start = np.maximum.accumulate(np.where(same, 0, position))
    return position - start
