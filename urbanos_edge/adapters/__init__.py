"""One module per wire format: bytes in, candidates for readings out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from urbanos_edge.errors import ReadingRejected

Length = Annotated[str, Meta(min_length=1, max_length=120)]
Name = Annotated[Length, Meta(pattern=r"^[^\x00-\x1f\x7f]+\Z")]
Label = Annotated[str, Meta(max_length=50)]
Moment = Annotated[datetime, Meta(tz=True)]
Priority = Annotated[int, Meta(ge=1, le=10)]


class Location(msgspec.Struct, frozen=True, gc=False):
    """WGS 84 degrees."""

    lat: Annotated[float, Meta(ge=-90, le=90)]
    lng: Annotated[float, Meta(ge=-180, le=180)]


NOWHERE: Final = Location(0, 0)
"""What a device sends that does not know where it stands."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What a message claims, checked for its types and nothing else.

    `timestamp` needs a zone. `values` may name quantities the node does not know. The source
    design's shape has neither `sensor_id` nor `values`: place, type and `aqi` are all there is.
    `channels_disagree` is for a monitor with two particle sensors, by `quality`'s rule for PM2.5.
    """

    sensor_id: Name | None = None
    location: Location | None = None
    timestamp: Moment | None = None
    source: Label = "api"
    type: Label = "air"
    priority: Priority = 5
    aqi: float | None = None
    values: dict[str, float | None] = {}
    channels_disagree: bool = False


class Malformed(msgspec.Struct, frozen=True):
    """A part of a message that is not even a candidate, and its bytes as they came."""

    error: ReadingRejected
    payload: bytes


Message = Sequence[Candidate | Malformed]
