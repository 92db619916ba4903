"""Corrections as formulas: what becomes of a value, who published that, its name and version.

What sensors said is kept beside the corrected value, so a formula always starts from that, and a
changed one can be applied again. Versions change with the numbers here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.errors import EdgeError
from urbanos_edge.quality.quality import is_credible
from urbanos_edge.reading import QUANTITIES

LINEAR: Final = "linear"
DECIMALS: Final = 3
"""Corrected values are rounded to so many: less than any sensor resolves, and exact in memory."""
_QUANTITY: Final = {quantity.name: quantity for quantity in QUANTITIES}

Floats = npt.NDArray[np.float64]
Formula = Callable[[Floats, Floats, Mapping[str, float]], Floats]


class SourceCorrectionsError(EdgeError):
    """A list of corrections by source names what there is not."""

    status = 422
    code = "bad_source_corrections"


class Correction(msgspec.Struct, frozen=True):
    """How a quantity's value is made of what the sensor said.

    `formula` says it in words with the numbers in it, x being what the sensor said and RH its
    relative humidity in %; `document` is where it stands, or what it rests on.
    """

    quantity: str
    name: str
    version: int
    formula: str
    document: str
    coefficients: dict[str, float]
    needs_humidity: bool = False

    @property
    def label(self) -> str:
        """What a stored reading says of it."""
        return f"{self.quantity}={self.name}@{self.version}"

    def applies(self, said: Floats, humidity: Floats) -> npt.NDArray[np.bool_]:
        """Which values it can be applied to: possible ones, with a possible humidity if needed."""
        can_be = is_credible(_QUANTITY[self.quantity], said)
        if self.needs_humidity:
            can_be &= is_credible(_QUANTITY["humidity"], humidity)
        return can_be

    def of(self, said: Floats, humidity: Floats) -> Floats:
        """The corrected values, each of shape (n,), never below what is physically possible.

        Nor is air more than saturated. Any other value that is too high stays: it is flagged.
        """
        quantity = _QUANTITY[self.quantity]
        corrected = _FORMULAS[self.name](said, humidity, self.coefficients)
        highest = quantity.high if quantity.unit == "%" else np.inf
        return np.clip(np.round(corrected, DECIMALS), quantity.low, highest)


def linear(quantity: str, version: int, gain: float, shift: float, basis: str) -> Correction:
    """A straight line: gain × x + shift."""
    text = f"{gain:g} x {'-' if shift < 0 else '+'} {abs(shift):g}"
    return Correction(quantity, LINEAR, version, text, basis, {"gain": gain, "shift": shift})


def _linear(said: Floats, _: Floats, of: Mapping[str, float]) -> Floats:
    return of["gain"] * said + of["shift"]


def _barkjohn_2021(said: Floats, humidity: Floats, of: Mapping[str, float]) -> Floats:
    return of["slope"] * said + of["humidity"] * humidity + of["shift"]


def _barkjohn_2022(said: Floats, humidity: Floats, of: Mapping[str, float]) -> Floats:
    """The line, then the curve, and a mixture of both in between."""
    line = _barkjohn_2021(said, humidity, of)
    curve = of["smoke_square"] * said**2 + of["smoke_slope"] * said + of["smoke_shift"]
    share = np.clip((said - of["smoke_from"]) / (of["smoke_full"] - of["smoke_from"]), 0, 1)
    return (1 - share) * line + share * curve


_FORMULAS: Final[Mapping[str, Formula]] = MappingProxyType(
    {
        LINEAR: _linear,
        "us-epa-purpleair-2021": _barkjohn_2021,
        "us-epa-purpleair-2022": _barkjohn_2022,
    }
)
_LINE: Final = {"slope": 0.524, "humidity": -0.0862, "shift": 5.75}
_SMOKE: Final = {
    "smoke_from": 570.0,
    "smoke_full": 611.0,
    "smoke_square": 4.21e-4,
    "smoke_slope": 0.392,
    "smoke_shift": 3.44,
}
PUBLISHED: Final[Mapping[str, Correction]] = MappingProxyType(
    {
        one.name: one
        for one in (
            Correction(
                "pm25",
                "us-epa-purpleair-2021",
                1,
                "0.524 x - 0.0862 RH + 5.75",
                "US EPA: Barkjohn, Gantt and Clements 2021, Atmos. Meas. Tech. 14, 4617-4637",
                _LINE,
                needs_humidity=True,
            ),
            Correction(
                "pm25",
                "us-epa-purpleair-2022",
                1,
                "0.524 x - 0.0862 RH + 5.75 below 570 µg/m³, 0.000421 x² + 0.392 x + 3.44 from 611"
                " on, and in between their mixture by (x - 570) / 41",
                "US EPA: Barkjohn, Holder, Frederick and Clements 2022, Sensors 22, 9669,"
                " section 3.1.3",
                _LINE | _SMOKE,
                needs_humidity=True,
            ),
        )
    }
)
"""By name. Both start from the mean of a PurpleAir's two channels with its factor CF=1.

The five-piece form of AirNow's Fire and Smoke Map (0.786 x between 50 and 210 µg/m³) is the same
line for its factor CF=ATM, which is two thirds of CF=1 there: 0.786 = 1.5 × 0.524.
"""


def parse_source_corrections(text: str) -> dict[str, dict[str, Correction]]:
    """By source and quantity, the corrections of `source=name,source=name`.

    Raises:
        SourceCorrectionsError: an unknown name, no name, or two for one quantity of a source.
    """
    found: dict[str, dict[str, Correction]] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        source, _, name = (part.strip() for part in item.partition("="))
        correction = PUBLISHED.get(name)
        if not source or correction is None:
            known = ", ".join(PUBLISHED)
            raise SourceCorrectionsError(f"'{item}' is not source=name; known names: {known}")
        if found.setdefault(source, {}).setdefault(correction.quantity, correction) != correction:
            raise SourceCorrectionsError(f"two corrections of {correction.quantity} for '{source}'")
    return found


def published(label: str) -> Correction | None:
    """The correction that a stored reading's `quantity=name@version` names, if it is known here."""
    return next((one for one in PUBLISHED.values() if one.label == label), None)
