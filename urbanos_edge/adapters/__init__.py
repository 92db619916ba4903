"""One module per wire format: bytes in, candidates for readings out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from urbanos_edge.errors import ReadingRejected

Name = Annotated[str, Meta(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+\Z")]


class Location(msgspec.Struct, frozen=True):
    """WGS 84 degrees."""

    lat: Annotated[float, Meta(ge=-90, le=90)]
    lng: Annotated[float, Meta(ge=-180, le=180)]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What a message claims, checked for its types and nothing else.

    `timestamp` needs a zone. `values` may name quantities the node does not know. The source
    design's shape has neither `sensor_id` nor `values`: place, type and `aqi` are all there is.
    """

    sensor_id: Name | None = None
    location: Location | None = None
    timestamp: Annotated[datetime, Meta(tz=True)] | None = None
    source: Annotated[str, Meta(max_length=50)] = "api"
    type: Annotated[str, Meta(max_length=50)] = "air"
    priority: Annotated[int, Meta(ge=1, le=10)] = 5
    aqi: float | None = None
    values: dict[str, float | None] = {}


class Malformed(msgspec.Struct, frozen=True):
    """A part of a message that is not even a candidate, and its bytes as they came."""

    error: ReadingRejected
    payload: bytes


Message = list[Candidate | Malformed]
