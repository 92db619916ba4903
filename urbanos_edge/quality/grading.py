"""Give a batch its indexes and its flags, in place."""

from __future__ import annotations

import numpy as np

from urbanos_edge import aqi
from urbanos_edge.batch import Batch
from urbanos_edge.quality import quality
from urbanos_edge.reading import INDEXED


def grade(standard: aqi.Standard, batch: Batch) -> None:
    """Add the columns `aqi_value`, `level`, `dominant`, `<pollutant>_aqi` and `flags`.

    Absent indexes are `aqi.NO_INDEX`, among them those of pollutants that the standard lacks;
    `dominant` counts within the standard's pollutants.
    """
    grades = aqi.grade(standard, batch.columns)
    nothing = np.full(len(grades.overall), aqi.NO_INDEX, np.int16)
    batch.columns |= {
        "aqi_value": grades.overall,
        "level": grades.level,
        "dominant": grades.dominant,
        "flags": quality.flag(batch.columns),
        **{f"{name}_aqi": grades.by_pollutant.get(name, nothing) for name in INDEXED},
    }
