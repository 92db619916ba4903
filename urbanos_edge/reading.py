"""What a reading is: one sensor, one moment, one place, and what was measured there."""

from __future__ import annotations

import enum
import hashlib
import uuid
from collections.abc import Sequence
from typing import Final

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


class Quantity(msgspec.Struct, frozen=True):
    """One thing that is measured.

    `low` and `high` bound what is physically credible outdoors, in `unit`; a value outside is
    stored and flagged. For PM the bound lies just under what an SDS011 sends when its fan is dead
    or its laser saturates (999.9 and 1999.9 µg/m³; its data sheet ends there).
    """

    name: str
    unit: str
    low: float
    high: float


QUANTITIES: Final = (
    Quantity("pm1", "µg/m³", 0, 995),
    Quantity("pm25", "µg/m³", 0, 995),
    Quantity("pm10", "µg/m³", 0, 1995),
    Quantity("o3", "ppb", 0, 1000),
    Quantity("no2", "ppb", 0, 4000),
    Quantity("so2", "ppb", 0, 4000),
    Quantity("co", "ppm", 0, 500),
    Quantity("temperature", "°C", -60, 70),
    Quantity("humidity", "%", 0, 100),
    Quantity("pressure", "hPa", 300, 1100),
)
QUANTITY_NAMES: Final = tuple(quantity.name for quantity in QUANTITIES)


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
