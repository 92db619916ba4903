"""The registry and the latest state of each sensor."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Annotated, Any

import anyio.to_thread
import msgspec
from litestar import Request, Response, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.respond import JSON, cached, json
from urbanos_edge.api.shapes import SensorDetail, SensorList, told
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.grading import INDEXED
from urbanos_edge.node import Node
from urbanos_edge.reading import QUANTITIES
from urbanos_edge.rollup import View
from urbanos_edge.rows import row_of
from urbanos_edge.sensors import Sensor
from urbanos_edge.sources import RULES, Rule

MAX_LISTED = 10_000


def routes(node: Node) -> list[ControllerRouterHandler]:
    @get("/api/v1/sensors", responses=told(SensorList), tags=["sensors"])
    async def list_sensors(
        request: Request[Any, Any, Any],
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_LISTED)] = 1000,
        after: Annotated[str, QueryParameter(max_length=120)] = "",
    ) -> Response[bytes]:
        """Registered sensors by id, with their latest index; `after` continues a list."""

        def revision() -> Hashable:
            return node.sensors.revision, node.sources.revision, node.view().revision

        async def build() -> bytes:
            return await anyio.to_thread.run_sync(_list, node, limit, after)

        # No time to live: a sensor is listed as soon as it is registered, before any flush.
        entry, hit = await node.cache.get(("sensors", limit, after), 0, revision, build)
        return await cached(request, entry, hit, JSON)

    @get(
        "/api/v1/sensors/{sensor_id:str}",
        responses=told(SensorDetail),
        tags=["sensors"],
    )
    async def show_sensor(sensor_id: str) -> Response[bytes]:
        """One sensor: its latest values, their units and sub-indexes, and its averages."""
        sensor = node.sensors.get(sensor_id)
        view = node.view()
        shown = _brief(node, view, sensor, node.sources.rules())
        sources = node.sources.of_sensor(sensor.id)
        shown["sources"] = [{"protocol": one.protocol, "rule": one.rule} for one in sources]
        if shown["latest"] is not None:
            shown["latest"]["values"] = _values(view, view.row_by_sensor[sensor.id])
        shown["averages"] = msgspec.Raw(await _averages(node, sensor.id))
        return json(shown)

    return [list_sensors, show_sensor]


async def _averages(node: Node, sensor_id: str) -> bytes:
    """The averages of now in brief, kept while nothing was stored and the hour is the same."""

    def revision() -> Hashable:
        view = node.view()
        return view.revision, view.hour

    def read() -> bytes:
        return msgspec.json.encode(node.averaging.of(sensor_id, node.averaging.until_us()).brief())

    async def build() -> bytes:
        return await anyio.to_thread.run_sync(read)

    entry, _ = await node.cache.get(("averages", sensor_id), 0, revision, build)
    return entry.body


def _list(node: Node, limit: int, after: str) -> bytes:
    view = node.view()
    following = [sensor for sensor in node.sensors.list() if sensor.id > after]
    rules = node.sources.rules()
    listed = [_brief(node, view, sensor, rules) for sensor in following[:limit]]
    return msgspec.json.encode(
        {"sensors": listed, "count": len(listed), "total": len(node.sensors)}
    )


def _brief(node: Node, view: View, sensor: Sensor, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """What everybody may know; `rules` names those whose readings may come without a token."""
    index = view.row_by_sensor.get(sensor.id)
    return {
        "id": sensor.id,
        "name": sensor.name,
        "lat": sensor.lat,
        "lng": sensor.lng,
        "source": sensor.source,
        "registered_at": to_rfc3339(sensor.registered_at_us),
        "rule": rules.get(sensor.id, RULES[0]),
        "latest": None if index is None else _latest(node, view, index),
    }


def _latest(node: Node, view: View, index: int) -> dict[str, Any]:
    row = row_of(view.latest, index)
    dominant = int(view.latest["dominant"][index])
    return {
        "timestamp": row.timestamp,
        "aqi_value": row.aqi_value,
        "level": row.level,
        "dominant": node.standard.pollutants[dominant] if dominant >= 0 else None,
        "flags": row.flags,
        "source": row.source,
        "lat": row.lat,
        "lng": row.lng,
        "reported_aqi": row.reported_aqi,
    }


def _values(view: View, index: int) -> dict[str, Any]:
    values = {}
    for quantity in QUANTITIES:
        value = float(view.latest[quantity.name][index])
        if not math.isnan(value):
            graded = quantity.name in INDEXED
            aqi = int(view.latest[f"{quantity.name}_aqi"][index]) if graded else None
            values[quantity.name] = {"value": value, "unit": quantity.unit, "aqi": aqi}
    return values
