"""When each sensor was last heard of, and what of a batch is news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from urbanos_edge.alerts.runs import Ints, News
from urbanos_edge.batch import Batch, finest_tile
from urbanos_edge.clock import SECOND_US
from urbanos_edge.ingest.sensors import Sensor
from urbanos_edge.rollup.rollup import View
from urbanos_edge.rollup.window import Table

_PAUSE_US: Final = 60 * SECOND_US
"""Between two ticks: the node was asleep or its clock was set, and silence proves nothing."""


class Heard:
    """Moments by row of the rollup, which keeps its rows for as long as the process lives."""

    def __init__(self) -> None:
        self._seen_us: Ints = np.empty(0, np.int64)
        """The newest timestamp that was looked at."""
        self._arrived_us: Ints = np.empty(0, np.int64)
        """When a reading arrived last, whatever its timestamp."""
        self._listening_since_us = self._ticked_us = 0

    def tick(self, now_us: int) -> bool:
        """The node listens, called every few seconds; whether listening begins anew.

        Nothing arrived later than now, whatever a clock said that has been set back since.
        """
        begins_anew = not 0 <= now_us - self._ticked_us <= _PAUSE_US
        if begins_anew:
            self._listening_since_us = now_us
            np.minimum(self._arrived_us, now_us, out=self._arrived_us)
        self._ticked_us = now_us
        return begins_anew

    def news(self, batch: Batch, view: View, now_us: int) -> News:
        """The rows of a batch that are not older than what was looked at before.

        What arrived after `now_us`, by a clock that was ahead, is no sign of life: it would be one
        again whenever all is looked at.
        """
        self._grow(len(view.latest))
        find = view.row_by_sensor.get
        of_label = np.array([find(label, -1) for label in batch.labels], np.int64)
        row, at_us = of_label[batch["sensor"]], batch["timestamp_us"]
        arrived_us = np.where(batch["received_us"] <= now_us, batch["received_us"], 0)
        is_news = (at_us >= 0) & (at_us >= self._seen_us[row])
        np.maximum.at(self._seen_us, row, at_us)
        np.maximum.at(self._arrived_us, row, arrived_us)
        return News(batch, np.flatnonzero(is_news))

    def forget_moments(self) -> None:
        """Rows have moved in time: everything may be news."""
        self._seen_us[:] = 0

    def last_us(self, sensor_id: str, view: View) -> int:
        """When a sensor was heard of last; 0 if it was not since the start, nor shortly before."""
        row = view.row_by_sensor.get(sensor_id, -1)
        return int(self._arrived_us[row]) if 0 <= row < len(self._arrived_us) else 0

    def quiet_us(self, sensors: Sequence[Sensor], view: View, now_us: int) -> Ints:
        """For how long each sensor has been silent while the node listened."""
        heard_us = np.array([self.last_us(one.id, view) for one in sensors], np.int64)
        return now_us - np.maximum(heard_us, self._listening_since_us)

    def _grow(self, rows: int) -> None:
        missing = np.zeros(max(0, rows - len(self._seen_us)), np.int64)
        self._seen_us = np.append(self._seen_us, missing)
        self._arrived_us = np.append(self._arrived_us, missing)


def places(sensors: Sequence[Sensor]) -> Table:
    """Where sensors stand, as `rollup.inside` wants it; what has no place lies in no area."""
    placed = [(np.nan, np.nan, -1, -1) for _ in sensors]
    for index, one in enumerate(sensors):
        if one.lat is not None and one.lng is not None:
            placed[index] = (one.lng, one.lat, *finest_tile(one.lat, one.lng))
    lng, lat, x18, y18 = zip(*placed, strict=True) if placed else ((), (), (), ())
    return {
        "lng": np.array(lng, np.float64),
        "lat": np.array(lat, np.float64),
        "x18": np.array(x18, np.int64),
        "y18": np.array(y18, np.int64),
    }
