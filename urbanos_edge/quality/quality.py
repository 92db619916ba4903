"""Flags: why a reading is kept but not trusted.

A flagged reading stays in the store and on the map, greyed; averages, clusters and sums leave it
out. In a row, flags are one bit each, in the order of `FLAGS`. Here are the rules that need nothing
but the reading itself; those that need what came before, or from others, are in `watch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge.batch import as_said
from urbanos_edge.reading import QUANTITIES, Quantity, Timing

FLAGS: Final = ("range", "stuck", "spike", "neighbours", "channels", "humidity", "clock")
IMPOSSIBLE: Final = 1 << FLAGS.index("range")
PARTICLES: Final = tuple(one.name for one in QUANTITIES if one.kind == "particles")
DRIEST_FOG: Final = 99.0
"""Relative humidity, in %, up to which a particle sensor is specified: Plantower's data manual of
the PMS5003 gives 0-99 %. The SDS011's gives 70 %, which half of a northern year lies above."""
CHANNELS_APART_UGM3: Final = 5.0
CHANNELS_APART_SHARE: Final = 0.7
"""Of their mean. Barkjohn et al. 2021 (Atmos. Meas. Tech. 14, 4617), as EPA's fire map has it."""

Mask = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def flag(columns: Mapping[str, npt.NDArray[Any]]) -> Mask:
    """Return the flags that `n` readings earn alone, of shape (n,).

    There is one column of shape (n,) per quantity, NaN where absent; `timing`, and the mask
    `channels_disagree`. What the sensor said must be possible, for 999 is a dead fan whatever a
    correction makes of it; and so must what is shown, for a correction can be wrong.
    """
    outside = np.zeros(len(columns["timestamp_us"]), dtype=bool)
    for quantity in QUANTITIES:
        shown, said = columns[quantity.name], as_said(columns, quantity.name)
        outside |= _is_impossible(quantity, said)
        if said is not shown:
            outside |= _is_impossible(quantity, shown)
    doubted = columns["timing"] == Timing.NODE_IN_DOUBT
    return bits(
        {
            "range": outside,
            "channels": columns["channels_disagree"],
            "humidity": _in_fog(columns),
            "clock": doubted,
        }
    )


def bits(rows: Mapping[str, Rows]) -> Mask:
    """Put together which rows have which flag."""
    flags = sum(np.where(flagged, 1 << FLAGS.index(name), 0) for name, flagged in rows.items())
    return np.asarray(flags, np.uint8)


def is_credible(quantity: Quantity, values: Floats) -> Rows:
    """Which values are there and physically possible."""
    within: Rows = (values >= quantity.low) & (values <= quantity.high)
    return within


def _is_impossible(quantity: Quantity, values: Floats) -> Rows:
    beyond: Rows = (values < quantity.low) | (values > quantity.high)
    return beyond


def channels_disagree(a_ugm3: Floats, b_ugm3: Floats) -> Rows:
    """Where the two channels of a monitor differ by 5 µg/m³ or more, and by 70 % of their mean.

    A channel that is absent (NaN) contradicts nobody.
    """
    apart = np.abs(a_ugm3 - b_ugm3)
    disagree: Rows = (apart >= CHANNELS_APART_UGM3) & (
        apart >= CHANNELS_APART_SHARE * (a_ugm3 + b_ugm3) / 2
    )
    return disagree


def _in_fog(columns: Mapping[str, npt.NDArray[Any]]) -> Rows:
    """Where particles were counted in air that is more humid than the counter is made for."""
    humidity = columns["humidity"]
    counted = np.logical_or.reduce([~np.isnan(columns[name]) for name in PARTICLES])
    foggy: Rows = counted & (humidity > DRIEST_FOG) & (humidity <= 100)
    return foggy


def _spell(mask: int) -> str:
    return ",".join(name for bit, name in enumerate(FLAGS) if mask >> bit & 1)


FLAG_LABELS: Final = tuple(_spell(mask) for mask in range(1 << len(FLAGS)))
"""Every combination of flags as it is stored: names joined by commas, empty when there is none."""
