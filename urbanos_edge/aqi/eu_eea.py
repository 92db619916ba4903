"""The European Air Quality Index with the bands of its revision: six bands of hourly means.

A concentration is rounded half up to whole µg/m³, gases at 20 °C as reported to the EEA; carbon
monoxide has no band. The index of a reading is its band, 1 to 6. What the EEA publishes beside it
is the band and how far into it the concentration lies: `decimal_index`.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge.aqi.standard import Band, Standard, in_whole_ugm3

_UPPER: Final = {  # of bands 1 to 5, in µg/m³; 6 is open
    "pm25": (5, 15, 50, 90, 140),
    "pm10": (15, 45, 120, 195, 270),
    "no2": (10, 25, 60, 100, 150),
    "o3": (60, 100, 120, 160, 180),
    "so2": (20, 40, 125, 190, 275),
}
_ALMOST: Final = 0.99
"""How far into a band its end lies in what is published."""

EU_EEA_2024: Final = Standard(
    id="eu-eea-2024",
    name="European AQI",
    publisher="European Environment Agency",
    document="EEA's revision of the European air quality index bands, ETC HE Report 2024/17, "
    "table 5.2",
    date="2025-07-03",
    version="1",
    assist="cividis at six even steps, Nuñez, Anderton and Renslow 2018, "
    "doi:10.1371/journal.pone.0199239",
    bands=(
        Band(1, "Good", 1, 1, "#50f0e6", "#fee838"),
        Band(2, "Fair", 2, 2, "#50ccaa", "#c8b866"),
        Band(3, "Moderate", 3, 3, "#f0e641", "#948e77"),
        Band(4, "Poor", 4, 4, "#ff5050", "#666970"),
        Band(5, "Very poor", 5, 5, "#960032", "#35456c"),
        Band(6, "Extremely poor", 6, 6, "#7d2181", "#00224e"),
    ),
    scales={
        pollutant: (in_whole_ugm3(pollutant, "1h", upper),) for pollutant, upper in _UPPER.items()
    },
)


def decimal_index(
    pollutant: str, concentration: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The sub-index as the EEA publishes it: 2.5 is half-way through band 2; NaN stays.

    `concentration` is in the quantity's own unit. The open band 6 has no more than its number.
    """
    [scale] = EU_EEA_2024.scales[pollutant]
    upper = np.array(_UPPER[pollutant], float)
    rounded = scale.steps(concentration)
    band = np.searchsorted(upper, rounded)
    low = np.append(1, upper + 1)[band]
    high = np.append(upper, math.inf)[band]
    within: npt.NDArray[Any] = np.clip((rounded - low) / (high - low), 0, _ALMOST)
    return np.where(np.isnan(rounded), np.nan, band + 1 + within)
