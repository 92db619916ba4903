"""What a reading is: one sensor, one moment, one place, and what was measured there."""

from __future__ import annotations

import enum
import hashlib
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

import msgspec
import numpy as np

READING_NAMESPACE: Final = uuid.UUID("6f1d5a0e-9a55-5c0f-8d4b-5d2c1e7a4b10")
"""Namespace of the ids derived from a reading's identity; never change it."""
_NAMESPACE_BYTES: Final = READING_NAMESPACE.bytes
_ID_LENGTH: Final = 36
_PLACES: Final = [at for at in range(_ID_LENGTH) if at not in (8, 13, 18, 23)]
_HIGH_DIGITS: Final = _PLACES[::2]
_LOW_DIGITS: Final = _PLACES[1::2]
_DIGITS: Final = np.frombuffer(b"0123456789abcdef", np.uint8)


Kind = Literal["particles", "gas", "weather"]


class Quantity(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is measured: all that the node knows of it but how it is graded.

    `low` and `high` bound what is physically credible outdoors, in `unit`; a value outside is
    stored and flagged. For PM the bound lies just under what an SDS011 sends when its fan is dead
    or its laser saturates (999.9 and 1999.9 µg/m³; its data sheet ends there).

    `others` are its other names in use, as `names.plain_name` writes them. `has_index` says
    whether a stored row has room for an index of it. `molar_mass`, in g/mol, is of a gas. Between
    the values of `may_stay` it may be the same for days: clean air has no more of a gas than a
    cheap cell resolves, and fog is saturated.
    """

    name: str
    unit: str
    kind: Kind
    low: float
    high: float
    others: tuple[str, ...] = ()
    has_index: bool = False
    molar_mass: float | None = None
    may_stay: tuple[float, float] | None = None


_particles = partial(Quantity, kind="particles", unit="µg/m³", low=0)
_gas = partial(Quantity, kind="gas", low=0, has_index=True)
_weather = partial(Quantity, kind="weather")

QUANTITIES: Final = (
    _particles(name="pm1", high=995, others=("pm1.0", "pm01")),
    _particles(name="pm25", high=995, others=("pm2.5", "pm2p5", "pm02"), has_index=True),
    _particles(name="pm10", high=1995, others=("pm10.0",), has_index=True),
    # Molar masses as US EPA and EEA convert; two decimals.
    _gas(name="o3", unit="ppb", high=1000, others=("ozone",), molar_mass=48.00, may_stay=(0, 0)),
    _gas(
        name="no2",
        unit="ppb",
        high=4000,
        others=("nitrogendioxide",),
        molar_mass=46.01,
        may_stay=(0, 0),
    ),
    _gas(
        name="so2",
        unit="ppb",
        high=4000,
        others=("sulphurdioxide", "sulfurdioxide"),
        molar_mass=64.07,
        may_stay=(0, 1),
    ),
    _gas(
        name="co",
        unit="ppm",
        high=500,
        others=("carbonmonoxide",),
        molar_mass=28.01,
        may_stay=(0, 0.5),
    ),
    _weather(
        name="temperature",
        unit="°C",
        low=-60,
        high=70,
        others=("temp", "airtemperature", "atmp"),
    ),
    _weather(
        name="humidity",
        unit="%",
        low=0,
        high=100,
        others=("hum", "rh", "relativehumidity", "rhum"),
        may_stay=(99, 100),
    ),
    _weather(
        name="pressure",
        unit="hPa",
        low=300,
        high=1100,
        others=("pres", "press", "airpressure"),
    ),
)
"""A new one goes last: what waits in a spool is laid out in this order."""
QUANTITY_NAMES: Final = tuple(quantity.name for quantity in QUANTITIES)
INDEXED: Final = tuple(quantity.name for quantity in QUANTITIES if quantity.has_index)
"""Pollutants whose sub-index a stored row has room for."""


class Timing(enum.IntEnum):
    """Whose clock a reading's timestamp comes from."""

    SENSOR = 0
    NODE = 1
    NODE_IN_DOUBT = 2


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A validated reading, placed and timed.

    `timestamp_us` and `received_us` count microseconds since 1970 UTC. `values` holds known
    quantities only, in their own units, every one finite. `priority` runs from 1 to 10; 8 and
    above is urgent. `channels_disagree` is what a monitor with two particle sensors showed of its
    PM2.5.
    """

    sensor_id: str
    timestamp_us: int
    received_us: int
    lat: float
    lng: float
    values: dict[str, float]
    source: str = "api"
    pollution_type: str = "air"
    priority: int = 5
    reported_aqi: float | None = None
    timing: Timing = Timing.SENSOR
    channels_disagree: bool = False


def reading_id(sensor_id: str, timestamp_us: int) -> str:
    """Derive the id of a reading from its identity: UUIDv5 of `sensor_id/timestamp_us`."""
    return str(uuid.uuid5(READING_NAMESPACE, f"{sensor_id}/{timestamp_us}"))


def reading_ids(sensor_ids: Sequence[str], timestamps_us: Sequence[int]) -> list[str]:
    """`reading_id` of many: as RFC 9562 says, spelled out side by side."""
    names = [
        f"{name}/{at_us}".encode() for name, at_us in zip(sensor_ids, timestamps_us, strict=True)
    ]
    hashed = [
        hashlib.sha1(_NAMESPACE_BYTES + name, usedforsecurity=False).digest() for name in names
    ]
    octets = np.frombuffer(b"".join(hashed), np.uint8).reshape(-1, 20)[:, :16].copy()
    octets[:, 6] = octets[:, 6] & 0x0F | 0x50
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    spelled = np.full((len(octets), _ID_LENGTH), ord("-"), np.uint8)
    spelled[:, _HIGH_DIGITS] = _DIGITS[octets >> 4]
    spelled[:, _LOW_DIGITS] = _DIGITS[octets & 0x0F]
    text = spelled.tobytes().decode("ascii")
    return [text[at : at + _ID_LENGTH] for at in range(0, len(text), _ID_LENGTH)]
