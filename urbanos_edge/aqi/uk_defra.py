"""The UK's Daily Air Quality Index: ten points in four bands, recommended by COMEAP.

A concentration is rounded half up to whole µg/m³, as the last step; gases are at 20 °C. Each point
has a colour of its own (UK-AIR), so each is a level here, and three levels share a word. There is
no point above 10 and no index of carbon monoxide.
"""

from __future__ import annotations

from typing import Final

from urbanos_edge.aqi.standard import Band, Standard, in_whole_ugm3

UK_DEFRA_2013: Final = Standard(
    id="uk-defra-2013",
    name="UK DAQI",
    publisher="UK Department for Environment, Food and Rural Affairs",
    document="Update on Implementation of the Daily Air Quality Index, April 2013",
    date="2013-04",
    version="1",
    assist="cividis at ten even steps, Nuñez, Anderton and Renslow 2018, "
    "doi:10.1371/journal.pone.0199239",
    bands=(
        Band(1, "Low", 1, 1, "#9cff9c", "#fee838"),
        Band(2, "Low", 2, 2, "#31ff00", "#e1cc55"),
        Band(3, "Low", 3, 3, "#31cf00", "#c2b369"),
        Band(4, "Moderate", 4, 4, "#ffff00", "#a59c74"),
        Band(5, "Moderate", 5, 5, "#ffcf00", "#8a8678"),
        Band(6, "Moderate", 6, 6, "#ff9a00", "#707173"),
        Band(7, "High", 7, 7, "#ff6464", "#575d6d"),
        Band(8, "High", 8, 8, "#ff0000", "#3c4a6c"),
        Band(9, "High", 9, 9, "#990000", "#123570"),
        Band(10, "Very High", 10, 10, "#ce30ff", "#00224e"),
    ),
    scales={
        pollutant: (scale,)
        for pollutant, scale in {
            "pm25": in_whole_ugm3(
                "pm25", "24h", (11, 23, 35, 41, 47, 53, 58, 64, 70), current="24h running"
            ),
            "pm10": in_whole_ugm3(
                "pm10", "24h", (16, 33, 50, 58, 66, 75, 83, 91, 100), current="24h running"
            ),
            "o3": in_whole_ugm3("o3", "8h running", (33, 66, 100, 120, 140, 160, 187, 213, 240)),
            "no2": in_whole_ugm3("no2", "1h", (67, 134, 200, 267, 334, 400, 467, 534, 600)),
            "so2": in_whole_ugm3("so2", "15min", (88, 177, 266, 354, 443, 532, 710, 887, 1064)),
        }.items()
    },
)
