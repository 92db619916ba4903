"""The atlas of one node: its rollup, its memory and its files.

Most tiles are drawn in less time than the framework takes to find their route. `drawing` is how a
connection draws those by itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Hashable, Mapping
from functools import partial
from typing import Any, Final

import anyio.to_thread
import msgspec

from urbanos_edge.cache.answers import Drawing, Drawn, Kind
from urbanos_edge.cache.cache import Entry
from urbanos_edge.clock import DAY_US, to_rfc3339
from urbanos_edge.grid import FINEST_ZOOM, Bounds, Tile
from urbanos_edge.ingest.sensors import Sensor
from urbanos_edge.ingest.sources import RULES, Rule
from urbanos_edge.node import Node
from urbanos_edge.query.atlas import Layer
from urbanos_edge.query.history import Asked, Buckets, Readings
from urbanos_edge.query.rows import Row, row_of
from urbanos_edge.reading import INDEXED, QUANTITIES
from urbanos_edge.rollup.rollup import View
from urbanos_edge.tiles import clusters, tiles
from urbanos_edge.tiles.clusters import Cluster
from urbanos_edge.tiles.layers import Layers
from urbanos_edge.tiles.mvt import MVT

DRAWN_AT_ONCE: Final = 250
"""Features drawn within half a millisecond; a worker thread would take that long to ask."""
_KIND: Final = Kind(MVT)
_TARGET: Final = re.compile(rb"/tiles/readings/([0-9]{1,2})/([0-9]{1,6})/([0-9]{1,6})\.mvt")
_ROUTE: Final = "/tiles/readings/{z}/{x}/{file}"


class OwnAtlas:
    """An `atlas.Atlas`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._layers = Layers(node.standard, node.rollup.during)
        self.settings = node.settings
        self.standard = node.standard
        self.cache = node.cache

    def revision_in(self, area: Tile | Bounds) -> Hashable:
        return _revision(self._node.view(), area)

    async def rows(self, tile: Tile, limit: int) -> list[Row]:
        since_us = self._node.clock.now_us() - DAY_US
        return await anyio.to_thread.run_sync(self._node.query.rows, tile, since_us, limit)

    async def rows_by_grid(self, first: Tile, last: Tile) -> list[Row]:
        since_us = self._node.clock.now_us() - DAY_US
        return await anyio.to_thread.run_sync(self._node.query.rows_by_grid, first, last, since_us)

    async def statistics(self, tile: Tile) -> dict[str, Any]:
        return clusters.statistics(self._node.view(), tile)

    async def clusters(self, box: Bounds, cell_deg: float) -> list[Cluster]:
        return clusters.clusters(self._node.view(), box, cell_deg)

    async def tile(self, wanted: Tile, layer: Layer) -> tuple[Entry, bool]:
        view = self._node.view()
        if layer is None and tiles.weight(view, wanted) <= DRAWN_AT_ONCE:
            return _drawn_at_once(self._node, view, wanted)

        def draw() -> bytes:
            shown = view if layer is None else self._layers.of(view, layer)
            return _draw(self._node, shown, wanted)

        key = ("tile", wanted) if layer is None else ("tile", wanted, layer)
        revision, ttl_s = partial(_revision, view, wanted), self.settings.cache_ttl_grid_s
        return await self.cache.get(key, ttl_s, revision, partial(anyio.to_thread.run_sync, draw))

    def sensors_revision(self) -> Hashable:
        node = self._node
        return node.sensors.revision, node.sources.revision, node.view().revision

    async def sensors(self, limit: int, after: str) -> dict[str, Any]:
        return await anyio.to_thread.run_sync(_list, self._node, limit, after)

    def sensor_revision(self) -> Hashable:
        """Averages are of whole hours."""
        return self.sensors_revision(), self._node.view().hour

    async def sensor(self, sensor_id: str) -> dict[str, Any]:
        node, view = self._node, self._node.view()
        sensor = node.sensors.get(sensor_id)
        shown = _brief(node, view, sensor, node.sources.rules())
        sources = node.sources.of_sensor(sensor.id)
        shown["sources"] = [{"protocol": one.protocol, "rule": one.rule} for one in sources]
        if shown["latest"] is not None:
            shown["latest"]["values"] = _values(view, view.row_by_sensor[sensor.id])
        shown["averages"] = msgspec.Raw(await _averages(node, sensor.id))
        return shown

    async def asked(
        self,
        sensor_id: str,
        from_us: int | None,
        to_us: int | None,
        resolution: str | None,
        quantities: Collection[str] | None,
    ) -> Asked:
        known_id = self._node.sensors.get(sensor_id).id
        return self._node.history.asked(known_id, from_us, to_us, resolution, quantities)

    def history_revision(self, asked: Asked) -> Hashable:
        return self._node.history.revision(asked)

    def is_settled(self, asked: Asked) -> bool:
        return self._node.history.is_settled(asked)

    async def history(self, asked: Asked) -> Readings | Buckets:
        return await anyio.to_thread.run_sync(self._node.history.read, asked)


def drawing(node: Node) -> Drawing:
    """Finds the tiles that are drawn without leaving the event loop, by their targets."""

    def find(target: bytes) -> Callable[[], Drawn] | None:
        named = _TARGET.fullmatch(target)
        if named is None:
            return None
        z, x, y = map(int, named.groups())
        if z > FINEST_ZOOM or max(x, y) >> z:
            return None
        wanted, view = Tile(z, x, y), node.view()
        if tiles.weight(view, wanted) > DRAWN_AT_ONCE:
            return None
        return lambda: Drawn(*_drawn_at_once(node, view, wanted), _KIND, _ROUTE)

    return find


def _drawn_at_once(node: Node, view: View, wanted: Tile) -> tuple[Entry, bool]:
    return node.cache.get_at_once(
        ("tile", wanted),
        node.settings.cache_ttl_grid_s,
        partial(_revision, view, wanted),
        partial(_draw, node, view, wanted),
    )


def _draw(node: Node, view: View, wanted: Tile) -> bytes:
    return tiles.render(view, wanted, node.standard, node.sensors.name_of)


def _revision(view: View, area: Tile | Bounds) -> Hashable:
    return view.hour, view.revision_in(area)


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


def _list(node: Node, limit: int, after: str) -> dict[str, Any]:
    view = node.view()
    following = [sensor for sensor in node.sensors.list() if sensor.id > after]
    rules = node.sources.rules()
    listed = [_brief(node, view, sensor, rules) for sensor in following[:limit]]
    return {"sensors": listed, "count": len(listed), "total": len(node.sensors)}


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
        "received_at": row.received_at,
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
