"""Query parameters that several routes share, checked."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Annotated, Final

import msgspec

from urbanos_edge.clock import to_us
from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import Bounds

YEARS: Final = range(1970, 3000)
"""In which moments may lie."""
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def bounds(min_lat: float, max_lat: float, min_lng: float, max_lng: float) -> Bounds:
    """A box in degrees, WGS 84.

    Raises:
        Unprocessable: not finite, outside the world, or its edges in the wrong order.
    """
    box = Bounds(min_lng, min_lat, max_lng, max_lat)
    if not all(math.isfinite(edge) for edge in box):
        raise Unprocessable("the edges of the box must be finite numbers", code="invalid_bounds")
    if min_lat < -90 or max_lat > 90 or min_lng < -180 or max_lng > 180:
        raise Unprocessable(
            "latitudes run from -90 to 90, longitudes from -180 to 180", code="invalid_bounds"
        )
    if min_lat > max_lat or min_lng > max_lng:
        raise Unprocessable("the box's minimum is above its maximum", code="invalid_bounds")
    return box


def moment_us(name: str, text: str | None) -> int | None:
    """A moment in RFC 3339 as microseconds since 1970; None when it was not given.

    Raises:
        Unprocessable: not such a moment, without a zone, or in no year we know.
    """
    if text is None:
        return None
    try:
        moment = msgspec.convert(text, _Moment)
    except msgspec.ValidationError as error:
        raise Unprocessable(
            f"'{name}' must be a moment like 2026-11-23T10:00:00Z, with a zone (and + as %2B)",
            code=f"invalid_{name}",
        ) from error
    if moment.year not in YEARS:
        raise Unprocessable(
            f"'{name}' must lie between {YEARS[0]} and {YEARS[-1]}", code=f"invalid_{name}"
        )
    return to_us(moment)


def day_or_moment_us(name: str, text: str | None) -> int | None:
    """As `moment_us`; a day like 2026-11-23 is its beginning in UTC."""
    if text is not None and _DAY.fullmatch(text):
        text = f"{text}T00:00:00Z"
    return moment_us(name, text)
