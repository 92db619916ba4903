"""Units in use elsewhere, and how they become the node's.

Gases are published by volume or, as µg/m³ or mg/m³, at a stated temperature and 1013 hPa; the node
keeps ppb (CO: ppm). With the molar mass M in g/mol and the molar volume V in L/mol,
µg/m³ = ppb × M / V.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from urbanos_edge.errors import EdgeError
from urbanos_edge.reading import QUANTITIES, Quantity

MOLAR_MASS: Final = {one.name: one.molar_mass for one in QUANTITIES if one.molar_mass is not None}
"""g/mol, by gas."""
MOLAR_VOLUME: Final = {0: 22.41, 20: 24.04, 25: 24.45}
"""L/mol at 1013 hPa by temperature in °C.

25 °C: US EPA (40 CFR 50), and China since 2018-09-01. 20 °C: Directive 2008/50/EC, annex VI.
0 °C: China before that (GB 3095-2012, 3.14: 273 K). The two-decimal figures in regulatory use; the
gas law gives 24.055 at 20 °C and 1013.25 hPa, as Defra's factors have it: 0.06 % more.
"""


def ugm3_per_ppb(gas: str, celsius: int) -> float:
    """How many µg/m³ one ppb of a gas is, at a temperature of `MOLAR_VOLUME`."""
    return MOLAR_MASS[gas] / MOLAR_VOLUME[celsius]


class UnknownUnit(EdgeError):
    """Nothing that a quantity is measured in, or a gas by mass without its temperature."""

    status = 422
    code = "unknown_unit"


class Unit(msgspec.Struct, frozen=True):
    """A unit in use elsewhere: the node's value is `(x + before) * times / per`."""

    label: str
    before: float = 0.0
    times: float = 1.0
    per: float = 1.0

    @property
    def convert(self) -> Callable[[float], float] | None:
        """The conversion into the node's unit; None when it is that unit."""
        before, times, per = self.before, self.times, self.per
        if (before, times, per) == (0.0, 1.0, 1.0):
            return None
        return lambda value: (value + before) * times / per


def unit_named(quantity: str, spelling: str) -> Unit:
    """Return the unit of a quantity by its name, however its signs are written.

    Raises:
        UnknownUnit: not a unit of this quantity, or a gas by mass without its temperature.
    """
    unit = UNITS[quantity].get(plain_unit(spelling))
    if unit is not None:
        return unit
    if quantity in MOLAR_MASS and plain_unit(spelling) in BY_MASS:
        raise UnknownUnit(
            f"{quantity} in {spelling} needs the temperature it is stated at: "
            f"{spelling}@20C (EU), {spelling}@25C (US) or {spelling}@0C (China until 2018-08)"
        )
    raise UnknownUnit(
        f"'{spelling}' is not a unit of {quantity}; there is: {', '.join(UNITS[quantity])}"
    )


def plain_unit(spelling: str) -> str:
    """Return `ugm3@20c` for `µg/m³ @ 20 °C` and the like."""
    return spelling.lower().translate(_SIGNS).replace("deg", "")


_SIGNS: Final = str.maketrans(
    {"µ": "u", "μ": "u", "³": "3", **dict.fromkeys("/ °^()[]_-", "")}  # noqa: RUF001
)
BY_MASS: Final = {"ugm3": 1.0, "mgm3": 1000.0}
"""Mass concentrations, in µg/m³."""


def _particles() -> dict[str, Unit]:
    return {"ugm3": Unit("µg/m³"), "mgm3": Unit("mg/m³", times=BY_MASS["mgm3"])}


def _gas(gas: Quantity) -> dict[str, Unit]:
    ppb_per_unit = 1000.0 if gas.unit == "ppm" else 1.0
    units = {
        "ppb": Unit("ppb", per=ppb_per_unit),
        "ppm": Unit("ppm", times=1000.0 / ppb_per_unit),
    }
    for mass, ugm3 in BY_MASS.items():
        for celsius in MOLAR_VOLUME:
            units[f"{mass}@{celsius}c"] = Unit(
                f"{mass[:2].replace('u', 'µ')}/m³ at {celsius} °C",
                times=ugm3,
                per=ugm3_per_ppb(gas.name, celsius) * ppb_per_unit,
            )
    return units


UNITS: Final[dict[str, dict[str, Unit]]] = {
    **{one.name: _particles() for one in QUANTITIES if one.kind == "particles"},
    **{one.name: _gas(one) for one in QUANTITIES if one.kind == "gas"},
    "temperature": {
        "c": Unit("°C"),
        "f": Unit("°F", before=-32.0, times=5.0, per=9.0),
        "k": Unit("K", before=-273.15),
    },
    "humidity": {"%": Unit("%"), "fraction": Unit("fraction of 1", times=100.0)},
    "pressure": {
        "hpa": Unit("hPa"),
        "mbar": Unit("mbar"),
        "mb": Unit("mbar"),
        "pa": Unit("Pa", per=100.0),
        "kpa": Unit("kPa", times=10.0),
        # Conventional columns of mercury: NIST SP 811 (2008), appendix B.8.
        "mmhg": Unit("mmHg", times=1.333224),
        "inhg": Unit("inHg", times=33.86389),
    },
}
"""By quantity: plain name and unit."""

NODE_UNITS: Final = {
    quantity.name: unit_named(quantity.name, quantity.unit) for quantity in QUANTITIES
}
"""What a value is in when nothing else is said."""
