"""A month of a city in which one sensor after the other reads three times too much.

All of them, with recall and precision: `scripts/soak taichung`.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.faults.figures import Figures
from urbanos_edge.batch import Batch, from_columns
from urbanos_edge.clock import to_us
from urbanos_edge.quality.quality import FLAGS
from urbanos_edge.quality.watch import Watch
from urbanos_edge.reading import QUANTITY_NAMES

Mask = npt.NDArray[np.bool_]


def taichung(data: Path) -> Batch:
    """Hourly PM2.5 of 123 sensors, by sensor and time."""
    path = data / "readings" / "taichung" / "taichung_123.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [
            (
                row["sensor_id"],
                to_us(datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))),
                float(row["longitude"]),
                float(row["latitude"]),
                float(row["pm25"]),
            )
            for row in csv.DictReader(file)
        ]
    sensor_id, at_us, lng, lat, pm25 = zip(*sorted(rows), strict=True)
    absent = dict.fromkeys(QUANTITY_NAMES, np.full(len(rows), np.nan))
    found = {"sensor_id": sensor_id, "source": ["api"] * len(rows), "timestamp_us": at_us}
    found |= {"pollution_type": ["air"] * len(rows), "lng": lng, "lat": lat, "pm25": pm25}
    found["channels_disagree"] = np.zeros(len(rows), bool)
    return from_columns(absent | {name: np.array(column) for name, column in found.items()})


def disagreeing(batch: Batch, pm25: npt.NDArray[np.float64]) -> Mask:
    """Which readings differ from their neighbours, with these values in the place of its own."""
    found = Watch(radius_m=10_000).judge(Batch(batch.labels, batch.columns | {"pm25": pm25}))
    return np.asarray(found.flags & 1 << FLAGS.index("neighbours") != 0)


def tripled_in_turn(batch: Batch, sensors: Sequence[int]) -> Figures:
    """Triple one sensor at a time, and count who is found for it.

    A sensor is found when more than half of its hours are flagged.
    """
    sensor, pm25 = batch["sensor"], batch["pm25"]
    hours, before = np.bincount(sensor), disagreeing(batch, pm25)
    found = others = 0
    of_hours = np.zeros(4, np.int64)  # tripled, of them flagged, flagged only then, of them its own
    for tripled in sensors:
        is_tripled = sensor == tripled
        flagged = disagreeing(batch, np.where(is_tripled, pm25 * 3, pm25))
        is_found = np.bincount(sensor, flagged) > hours / 2
        found += int(is_found[tripled])
        others += int(is_found.sum()) - int(is_found[tripled])
        news = flagged & ~before
        own = flagged & is_tripled, news, news & is_tripled
        of_hours += [is_tripled.sum(), *(mask.sum() for mask in own)]
    figures = Figures("One of 123 sensors in Taichung tripled", rounds=len(sensors))
    figures.more = {
        "found": found,
        "others_found": others,
        "recall_percent": round(100 * found / figures.rounds, 1),
        "precision_percent": round(100 * found / max(found + others, 1), 1),
        "recall_of_hours_percent": round(100 * int(of_hours[1]) / int(of_hours[0]), 1),
        "precision_of_hours_percent": round(100 * int(of_hours[3]) / int(of_hours[2]), 1),
    }
    return figures
