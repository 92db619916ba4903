"""The registry and the latest state of each sensor."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.document import KEPT
from urbanos_edge.api.respond import JSON, cached, encoded
from urbanos_edge.api.shapes import SensorDetail, SensorList, told
from urbanos_edge.query.atlas import Atlas

MAX_LISTED = 10_000


def routes(atlas: Atlas) -> list[ControllerRouterHandler]:
    @get("/api/v1/sensors", responses=told(SensorList) | KEPT, tags=["sensors"])
    async def list_sensors(
        request: Request[Any, Any, Any],
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_LISTED)] = 1000,
        after: Annotated[str, QueryParameter(max_length=120)] = "",
    ) -> Response[bytes]:
        """Registered sensors by id, with their latest index; `after` continues a list."""

        async def build() -> bytes:
            return await encoded(await atlas.sensors(limit, after))

        # No time to live: a sensor is listed as soon as it is registered, before any flush.
        key, revision = ("sensors", limit, after), atlas.sensors_revision
        entry, hit = await atlas.cache.get(key, 0, revision, build)
        return await cached(request, entry, hit, JSON)

    @get(
        "/api/v1/sensors/{sensor_id:str}",
        responses=told(SensorDetail) | KEPT,
        tags=["sensors"],
    )
    async def show_sensor(request: Request[Any, Any, Any], sensor_id: str) -> Response[bytes]:
        """One sensor: its latest values, their units and sub-indexes, and its averages."""

        async def build() -> bytes:
            return msgspec.json.encode(await atlas.sensor(sensor_id))

        key, revision = ("sensor", sensor_id), atlas.sensor_revision
        entry, hit = await atlas.cache.get(key, 0, revision, build)
        return await cached(request, entry, hit, JSON)

    return [list_sensors, show_sensor]
