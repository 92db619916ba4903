"""Flags: why a reading is kept but not trusted.

A flagged reading stays in the store and on the map, greyed; averages, clusters and sums leave it
out. In a row, flags are one bit each, in the order of `FLAGS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge.reading import QUANTITIES, Timing

FLAGS: Final = ("range", "stuck", "spike", "neighbours", "channels", "humidity", "clock")

Mask = npt.NDArray[np.uint8]


def flag(columns: Mapping[str, npt.NDArray[Any]]) -> Mask:
    """Return the flags of `n` readings, one column of shape (n,) per quantity, NaN where absent."""
    outside = np.zeros(len(columns["timestamp_us"]), dtype=bool)
    for quantity in QUANTITIES:
        values = columns[quantity.name]
        outside |= (values < quantity.low) | (values > quantity.high)
    doubted = columns["timing"] == Timing.NODE_IN_DOUBT
    bits = {"range": outside, "clock": doubted}
    flags = sum(np.where(rows, 1 << FLAGS.index(name), 0) for name, rows in bits.items())
    return np.asarray(flags, np.uint8)


def _spell(mask: int) -> str:
    return ",".join(name for bit, name in enumerate(FLAGS) if mask >> bit & 1)


FLAG_LABELS: Final = tuple(_spell(mask) for mask in range(1 << len(FLAGS)))
"""Every combination of flags as it is stored: names joined by commas, empty when there is none."""
