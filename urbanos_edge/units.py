"""Units in use elsewhere, and how they become the node's.

Gases are published by volume or, as µg/m³ or mg/m³, at a stated temperature and 1013 hPa; the node
keeps ppb (CO: ppm). With the molar mass M in g/mol and the molar volume V in L/mol,
µg/m³ = ppb × M / V.
"""

from __future__ import annotations

from typing import Final

MOLAR_MASS: Final = {"o3": 48.00, "no2": 46.01, "so2": 64.07, "co": 28.01}
"""g/mol, as US EPA and EEA convert; two decimals."""
MOLAR_VOLUME: Final = {0: 22.41, 20: 24.04, 25: 24.45}
"""L/mol at 1013 hPa by temperature in °C.

25 °C: US EPA (40 CFR 50), and China since 2018-09-01. 20 °C: Directive 2008/50/EC, annex VI.
0 °C: China before that (GB 3095-2012, 3.14: 273 K). The two-decimal figures in regulatory use; the
gas law gives 24.055 at 20 °C and 1013.25 hPa, as Defra's factors have it: 0.06 % more.
"""


def ugm3_per_ppb(gas: str, celsius: int) -> float:
    """How many µg/m³ one ppb of a gas is, at a temperature of `MOLAR_VOLUME`."""
    return MOLAR_MASS[gas] / MOLAR_VOLUME[celsius]
