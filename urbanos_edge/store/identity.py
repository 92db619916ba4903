"""One reading per sensor and moment: fold arrivals into what is stored, in order of arrival.

An arrival that adds nothing to what is known is a duplicate. One that adds or changes a quantity
is a revision: the last to arrive wins per quantity.
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
Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Folded:
    """Rows with distinct identities that the store does not hold in this form.

    `revised` says which of them take the place of a stored row, and `base` names that row by its
    number in `stored`, for the revised rows only and in their order.
    """

    batch: Batch
    revised: Mask
    base: Rows
    duplicates: int
    revisions: int


def fold(arrivals: Batch, stored: dict[str, npt.NDArray[Any]]) -> Folded:
    """Fold arrivals of the same identity together; rows come out by sensor and time.

    `stored` holds, for identities among the arrivals, `sensor` (numbered as in the arrivals),
    `timestamp_us` and the columns `MERGED`, each identity once; empty when nothing is stored.
    """
    batch, number = _behind_stored(arrivals, stored)
    depth = _depth_in_run(batch["sensor"], batch["timestamp_us"])
    says_new = np.zeros(len(batch), bool)
    for level in range(1, int(depth.max(initial=0)) + 1):
        rows = np.flatnonzero(depth == level)
        says_new[rows] = _fill_from_previous(batch, rows)
    first = np.flatnonzero(depth == 0)
    last = np.append(first[1:], len(batch))[: len(first)] - 1
    in_store = number[first] >= 0
    changed = np.logical_or.reduceat(says_new, first) if len(first) else in_store
    kept = ~in_store | changed
    repeated = int(((depth > 0) & (number < 0)).sum())
    revisions = int(says_new.sum())
    return Folded(
        batch=batch.take(last[kept]),
        revised=in_store[kept],
        base=number[first][in_store & kept],
        duplicates=repeated - revisions,
        revisions=revisions,
    )


def _behind_stored(arrivals: Batch, stored: dict[str, npt.NDArray[Any]]) -> tuple[Batch, Rows]:
    """Sort by identity, the stored row first; return the stored row's number too, -1 if none."""
    count = len(stored["sensor"]) if stored else 0
    columns = {}
    for name, column in arrivals.columns.items():
        before = np.zeros(count, column.dtype)
        if name in stored:
            before[:] = stored[name]
        columns[name] = np.concatenate([before, column])
    number = np.append(np.arange(count), np.full(len(arrivals), -1))
    order = np.lexsort((columns["timestamp_us"], columns["sensor"]))  # stable: keeps arrival order
    return Batch(arrivals.labels, columns).take(order), number[order]


def _fill_from_previous(batch: Batch, rows: Rows) -> Mask:
    """Give `rows` what they lack from the rows before them; return which say something new."""
    says_new = np.zeros(len(rows), bool)
    for name in MERGED:
        newer, older = batch[name][rows], batch[name][rows - 1]
        lacking = np.isnan(newer)
        says_new |= ~lacking & (newer != older)
        batch[name][rows] = np.where(lacking, older, newer)
    _keep_verdict(batch, rows)
    return says_new


def _keep_verdict(batch: Batch, rows: Rows) -> None:
    """Whether channels disagree is said of a PM2.5, and goes on for as long as that stands."""
    is_same = batch["pm25"][rows] == batch["pm25"][rows - 1]
    verdict = batch["channels_disagree"]
    verdict[rows] = np.where(is_same, verdict[rows - 1], verdict[rows])


def _depth_in_run(sensor: npt.NDArray[Any], timestamp_us: npt.NDArray[Any]) -> Rows:
    """How many rows of the same identity stand directly before each row of a sorted batch."""
    same = np.zeros(len(sensor), bool)
    same[1:] = (sensor[1:] == sensor[:-1]) & (timestamp_us[1:] == timestamp_us[:-1])
    position = np.arange(len(sensor))
    start = np.maximum.accumulate(np.where(same, 0, position))
    return position - start
