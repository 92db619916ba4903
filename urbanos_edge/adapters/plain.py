"""Many usual readings at once: decoded into fixed types, laid out without a loop over them.

Only what names its sensor, its place and its time and brings known quantities fits these types;
any other message is left to the way that takes it apart. Nothing is judged here but types and
lengths, and these as `Candidate` does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from urbanos_edge.adapters import Candidate, Label, Length, Location, Moment, Priority
from urbanos_edge.batch import CHANNELS_DISAGREE, NAN, ROW, Column, Rows, finest_tiles
from urbanos_edge.clock import SECOND_US, to_us
from urbanos_edge.reading import QUANTITY_NAMES, Timing

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_encode: Final = msgspec.msgpack.Encoder().encode


Values: Final = msgspec.defstruct(
    "Values",
    [(name, float | None, NAN) for name in QUANTITY_NAMES],
    frozen=True,
    gc=False,
    forbid_unknown_fields=True,
)
"""The known quantities: NaN where none was sent, None where null was."""


class PlainReading(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A candidate of which all that a row needs was sent.

    The length of its sensor's name is checked here and its characters for all at once: a pattern
    would cost more than all the rest.
    """

    sensor_id: Length
    location: Location
    timestamp: Moment
    source: Label = "api"
    type: Label = "air"
    priority: Priority = 5
    aqi: float | None = None
    values: Values  # type: ignore[valid-type]
    channels_disagree: bool = False

    def candidate(self) -> Candidate:
        """The same as any other message would bring it."""
        values = {name: getattr(self.values, name) for name in QUANTITY_NAMES}
        return Candidate(
            sensor_id=self.sensor_id,
            location=self.location,
            timestamp=self.timestamp,
            source=self.source,
            type=self.type,
            priority=self.priority,
            aqi=self.aqi,
            values={
                name: value
                for name, value in values.items()
                if value is None or not math.isnan(value)
            },
            channels_disagree=self.channels_disagree,
        )


class Plain(Sequence[Candidate]):
    """A message of plain readings only: a candidate by its place, or all of them as rows."""

    def __init__(self, readings: Sequence[PlainReading]) -> None:
        self._readings = readings

    def __len__(self) -> int:
        return len(self._readings)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Plain(self._readings[index])
        return self._readings[index].candidate()

    @property
    def priorities(self) -> list[int]:
        return [reading.priority for reading in self._readings]

    def rows(self, received_us: int) -> Rows:
        """What `pack` would make of them, each with its own place and time."""
        readings = self._readings
        rows = np.zeros(len(readings), ROW)
        rows["timestamp_us"] = _moments_us([reading.timestamp for reading in readings])
        rows["received_us"] = received_us
        rows["reported_aqi"] = np.array([reading.aqi for reading in readings], float)
        for name, column in _floats([reading.values for reading in readings], _VALUES):
            rows[name] = column
        for name, column in _floats([reading.location for reading in readings], _LOCATION):
            rows[name] = column
        rows["x18"], rows["y18"] = finest_tiles(rows["lng"], rows["lat"])
        disagreeing = np.array([reading.channels_disagree for reading in readings], bool)
        rows["timing"] = np.where(disagreeing, Timing.SENSOR | CHANNELS_DISAGREE, Timing.SENSOR)
        return Rows(
            rows,
            [reading.sensor_id for reading in readings],
            [reading.source for reading in readings],
            [reading.type for reading in readings],
        )


def read(decode: Callable[[bytes], list[PlainReading]], body: bytes) -> Plain | None:
    """The readings of a body when all of them are plain, or None."""
    try:
        readings = decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if _CONTROL.search("".join([reading.sensor_id for reading in readings])):
        return None
    return Plain(readings)


def _layout(struct: type[msgspec.Struct]) -> np.dtype[Any]:
    """How MessagePack spells a struct whose fields are all floats: keys and values in turn."""
    offsets, at = {}, 1
    for name in struct.__struct_fields__:
        at += 1 + len(name) + 1
        offsets[name] = at
        at += 8
    fields: Mapping[str, Any] = {
        "names": list(offsets),
        "formats": [">f8"] * len(offsets),
        "offsets": list(offsets.values()),
        "itemsize": at,
    }
    return np.dtype(fields)  # type: ignore[call-overload, no-any-return]


_VALUES: Final = _layout(Values)
_LOCATION: Final = _layout(Location)
_WHOLE: Final = np.dtype([("kind", ">u2"), ("seconds", ">u4")])
_FINE: Final = np.dtype([("kind", ">u2"), ("bits", ">u8")])
"""MessagePack's timestamps of 32 and of 64 bits: the latter 30 of nanoseconds, 34 of seconds."""


def _floats(
    structs: Sequence[msgspec.Struct], layout: np.dtype[Any]
) -> Iterator[tuple[str, Column]]:
    """The fields of structs as columns; NaN for None.

    Encoding them and looking at the bytes costs a third of asking each for each field.
    """
    names = layout.names or ()
    table = _table(_encode(structs), layout, len(structs))
    if table is not None:
        return ((name, table[name]) for name in names)
    spelled = np.array([msgspec.structs.astuple(struct) for struct in structs], float)
    return zip(names, spelled.T, strict=True)


def _moments_us(moments: Sequence[Any]) -> Column | list[int]:
    encoded = _encode(moments)
    whole = _table(encoded, _WHOLE, len(moments))
    if whole is not None and (whole["kind"] == 0xD6FF).all():
        return whole["seconds"].astype(np.int64) * SECOND_US
    fine = _table(encoded, _FINE, len(moments))
    if fine is not None and (fine["kind"] == 0xD7FF).all():
        bits = fine["bits"].astype(np.uint64)
        seconds = (bits & np.uint64((1 << 34) - 1)).astype(np.int64)
        return seconds * SECOND_US + (bits >> np.uint64(34)).astype(np.int64) // 1000
    return [to_us(moment) for moment in moments]


def _table(encoded: bytes, layout: np.dtype[Any], count: int) -> Column | None:
    """The elements of an encoded array when they have the layout's size, all together."""
    start = len(encoded) - count * layout.itemsize
    if start != (1 if count < 16 else 3):
        return None
    return np.frombuffer(encoded, layout, count, start)
