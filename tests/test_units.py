"""Gases by volume and by mass: regulatory factors."""

from __future__ import annotations

import pytest

from urbanos_edge.units import ugm3_per_ppb


@pytest.mark.parametrize(
    ("gas", "celsius", "factor"),
    [
        # Defra, Conversion Factors Between ppb and µg/m³, at 20 °C.
        *[("o3", 20, 1.9957), ("no2", 20, 1.9125), ("so2", 20, 2.6609), ("co", 20, 1.1642)],
        # At 25 °C: the gas law at 1013.25 hPa, 24.465 L/mol.
        *[("o3", 25, 48.00 / 24.465), ("no2", 25, 46.01 / 24.465)],
    ],
)
def test_a_ppb_of_gas_weighs_what_it_weighs_elsewhere(
    gas: str, celsius: int, factor: float
) -> None:
    assert ugm3_per_ppb(gas, celsius) == pytest.approx(factor, rel=2e-3)
