"""The US AQI. Its tables are printed in ppm for ozone; the node keeps it in ppb.

EPA-454/B-24-002: words and colours tables 1 and 2, Colorvision Assist table 3, breakpoints table 6.
A concentration beyond the scale is graded along its last line (40 CFR 58, appendix G, table 2,
note 4). Eight-hour ozone defines nothing above 300, one-hour SO2 nothing above 200.
"""

from __future__ import annotations

from typing import Final

from urbanos_edge.aqi.standard import Band, Scale, Standard

US_EPA_2024: Final = Standard(
    id="us-epa-2024",
    name="US AQI",
    publisher="US Environmental Protection Agency",
    document="Technical Assistance Document for the Reporting of Daily Air Quality, "
    "EPA-454/B-24-002, May 2024",
    date="2024-05",
    version="1",
    assist="Colorvision Assist, EPA-454/B-24-002, table 3",
    bands=(
        Band(1, "Good", 0, 50, "#00e400", "#9eff91"),
        Band(2, "Moderate", 51, 100, "#ffff00", "#ffc905"),
        Band(3, "Unhealthy for Sensitive Groups", 101, 150, "#ff7e00", "#ff8205"),
        Band(4, "Unhealthy", 151, 200, "#ff0000", "#f02200"),
        Band(5, "Very Unhealthy", 201, 300, "#8f3f97", "#890997"),
        Band(6, "Hazardous", 301, None, "#7e0023", "#640015"),
    ),
    scales={
        "pm25": (
            Scale(
                "24h",
                "µg/m³",
                0.1,
                (
                    (0.0, 9.0, 0, 50),
                    (9.1, 35.4, 51, 100),
                    (35.5, 55.4, 101, 150),
                    (55.5, 125.4, 151, 200),
                    (125.5, 225.4, 201, 300),
                    (225.5, 325.4, 301, 500),
                ),
                current="NowCast",
            ),
        ),
        "pm10": (
            Scale(
                "24h",
                "µg/m³",
                1,
                (
                    (0, 54, 0, 50),
                    (55, 154, 51, 100),
                    (155, 254, 101, 150),
                    (255, 354, 151, 200),
                    (355, 424, 201, 300),
                    (425, 604, 301, 500),
                ),
                current="NowCast",
            ),
        ),
        "o3": (
            Scale(
                "8h running",
                "ppb",
                1,
                (
                    (0, 54, 0, 50),
                    (55, 70, 51, 100),
                    (71, 85, 101, 150),
                    (86, 105, 151, 200),
                    (106, 200, 201, 300),
                ),
                ends=True,
            ),
            Scale(
                "1h",
                "ppb",
                1,
                (
                    (125, 164, 101, 150),
                    (165, 204, 151, 200),
                    (205, 404, 201, 300),
                    (405, 604, 301, 500),
                ),
            ),
        ),
        "no2": (
            Scale(
                "1h",
                "ppb",
                1,
                (
                    (0, 53, 0, 50),
                    (54, 100, 51, 100),
                    (101, 360, 101, 150),
                    (361, 649, 151, 200),
                    (650, 1249, 201, 300),
                    (1250, 2049, 301, 500),
                ),
            ),
        ),
        "so2": (
            Scale(
                "1h",
                "ppb",
                1,
                (
                    (0, 35, 0, 50),
                    (36, 75, 51, 100),
                    (76, 185, 101, 150),
                    (186, 304, 151, 200),
                ),
                ends=True,
            ),
            Scale("24h", "ppb", 1, ((305, 604, 201, 300), (605, 1004, 301, 500))),
        ),
        "co": (
            Scale(
                "8h running",
                "ppm",
                0.1,
                (
                    (0.0, 4.4, 0, 50),
                    (4.5, 9.4, 51, 100),
                    (9.5, 12.4, 101, 150),
                    (12.5, 15.4, 151, 200),
                    (15.5, 30.4, 201, 300),
                    (30.5, 50.4, 301, 500),
                ),
            ),
        ),
    },
)
