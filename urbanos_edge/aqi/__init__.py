"""From concentration to index: published standards side by side, each with its sourced tables.

What is graded is the concentration as given: an index of one reading is not a NowCast, and a caller
says which it shows. `Standard.periods` tells over what the index is defined, `averages` has those.
"""

from typing import Final

from urbanos_edge.aqi.averages import complete_mean, nowcast, nowcast_weights, running_mean
from urbanos_edge.aqi.eu_eea import EU_EEA_2024, decimal_index
from urbanos_edge.aqi.grades import (
    BandStart,
    Grades,
    band_starts,
    grade,
    index_starts,
    level_of,
    sub_index,
)
from urbanos_edge.aqi.standard import NO_INDEX, Band, Index, Period, Scale, Standard
from urbanos_edge.aqi.uk_defra import UK_DEFRA_2013
from urbanos_edge.aqi.us_epa import US_EPA_2024
from urbanos_edge.aqi.working import Overall, Working, highest_of, plain, working

STANDARDS: Final = {standard.id: standard for standard in (US_EPA_2024, EU_EEA_2024, UK_DEFRA_2013)}

__all__ = [
    "EU_EEA_2024",
    "NO_INDEX",
    "STANDARDS",
    "UK_DEFRA_2013",
    "US_EPA_2024",
    "Band",
    "BandStart",
    "Grades",
    "Index",
    "Overall",
    "Period",
    "Scale",
    "Standard",
    "Working",
    "band_starts",
    "complete_mean",
    "decimal_index",
    "grade",
    "highest_of",
    "index_starts",
    "level_of",
    "nowcast",
    "nowcast_weights",
    "plain",
    "running_mean",
    "sub_index",
    "working",
]
