"""Query parameters that several routes share, checked."""

from __future__ import annotations

import math

from urbanos_edge.errors import Unprocessable
from urbanos_edge.grid import Bounds


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
