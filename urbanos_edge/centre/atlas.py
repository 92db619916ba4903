"""The atlas of the centre: what all nodes brought, asked of PostGIS.

A node that sends readings has sensors there. Of one that sends aggregates there are cells of zoom
18, each under its grid id as if it were a sensor, and hours in place of readings.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from datetime import datetime
from typing import Any, Final

from psycopg.rows import dict_row

from urbanos_edge.aqi import STANDARDS, index_starts
from urbanos_edge.cache.cache import Cache, Entry
from urbanos_edge.centre.news import COARSE_ZOOM, Changes
from urbanos_edge.centre.series import Series
from urbanos_edge.centre.servers import Connection, Servers
from urbanos_edge.clock import DAY_US, HOUR_US, Clock, to_rfc3339
from urbanos_edge.engine import statement
from urbanos_edge.errors import EdgeError, NotFound
from urbanos_edge.grid import FINEST_ZOOM, STORED_ZOOM, Bounds, Tile, spanned, tile_at
from urbanos_edge.query.atlas import Layer
from urbanos_edge.query.history import Asked, Buckets, Readings, Terms
from urbanos_edge.query.query import demand_few, per_grid
from urbanos_edge.query.rows import Row, split_flags, stored_row
from urbanos_edge.reading import INDEXED, QUANTITIES
from urbanos_edge.rollup.window import HOURS
from urbanos_edge.settings import Settings
from urbanos_edge.sync.link import to_moment
from urbanos_edge.tiles.clusters import Cluster, described
from urbanos_edge.tiles.tiles import NO_COLOR, RASTER_BITS

WORLD: Final = Tile(0, 0, 0)
LATEST_HOURS: Final = 4
"""Of large areas only what was heard of since then, the current hour and one to come among them."""
_HAS_READINGS: Final = "SELECT EXISTS (SELECT FROM nodes WHERE mode = 'readings')"
_CLUSTERS: Final = """
SELECT lat, lng, count, avg_aqi, max_aqi::INTEGER
FROM get_pollution_clusters_in_bounds(%s, %s, %s, %s, %s) ORDER BY lat, lng"""
_ROWS_OF_SENSOR: Final = """
SELECT {central_row_columns} FROM pollution_data AS d
WHERE d.sensor_id = %(sensor_id)s AND d.timestamp > %(since)s AND d.created_date >= %(since_day)s
ORDER BY d.timestamp DESC LIMIT 1"""


class ReadingsNotSynced(EdgeError):
    """It takes readings to answer this, and the centre has aggregates only."""

    status = 501
    code = "readings_not_synced"


class CentralAtlas:
    """An `atlas.Atlas`."""

    def __init__(
        self, settings: Settings, servers: Servers, changes: Changes, clock: Clock
    ) -> None:
        self.settings = settings
        self.standard = STANDARDS[settings.aqi_standard]
        self.cache = Cache()
        self._servers = servers
        self._changes = changes
        self._clock = clock
        self._terms = Terms(clock, settings.time_zone, settings.cache_ttl_historical_s)
        self._series = Series(servers, self._terms)
        self._starts: dict[str, list[float]] = {}
        """What `aqi.index_starts` gives, by pollutant."""

    def revision_in(self, area: Tile | Bounds) -> Hashable:
        return self._changes.last_in(area)

    async def rows(self, tile: Tile, limit: int) -> list[Row]:
        up = tile.z - STORED_ZOOM
        grid_id = Tile(STORED_ZOOM, tile.x >> up, tile.y >> up).grid_id if up >= 0 else None
        where = {"grid_id": grid_id, "per_grid": limit}
        found = await self._rows("central_rows", tile.reach, where)
        return [row for row in found if tile_at(row.lat, row.lng, tile.z) == tile]

    async def rows_by_grid(self, first: Tile, last: Tile) -> list[Row]:
        box, where = spanned(first, last), per_grid(first.z)
        found = await self._rows("central_rows_by_grid", box, where)
        demand_few(len(found))
        return found

    async def statistics(self, tile: Tile) -> dict[str, Any]:
        return described(tile, *await self.sums(tile, self._hours()))

    async def sums(
        self, tile: Tile, hours: range
    ) -> tuple[int, float | None, int | None, int | None]:
        """Of a tile in some hours: count, mean and highest index, and the last hour's beginning."""
        values = _place_of(tile) | _span_of(hours)
        ((count, mean, highest, last_us),) = await self._fetch("central_statistics", values)
        return count, mean, highest, last_us

    async def clusters(self, box: Bounds, cell_deg: float) -> list[Cluster]:
        values = (box.min_lat, box.max_lat, box.min_lng, box.max_lng, cell_deg)

        async def work(connection: Connection) -> list[Any]:
            return await (await connection.execute(_CLUSTERS.encode(), values)).fetchall()

        return [Cluster(*row) for row in await self._servers.read(work)]

    async def tile(self, wanted: Tile, layer: Layer) -> tuple[Entry, bool]:
        async def build() -> bytes:
            return await self._draw(wanted, layer)

        ttl_s = self.settings.cache_ttl_grid_s
        return await self.cache.get(
            ("tile", wanted, layer), ttl_s, lambda: self.revision_in(wanted), build
        )

    def sensors_revision(self) -> Hashable:
        return self._changes.last_in(WORLD)

    async def sensors(self, limit: int, after: str) -> dict[str, Any]:
        values = self._points_in(WORLD) | {"limit": limit, "after": after}
        found = await self._points(values)
        total = found[0]["total"] if found else 0
        return {"sensors": [_brief(row) for row in found], "count": len(found), "total": total}

    def sensor_revision(self) -> Hashable:
        """With each change, and else as the list: of some weather no news tell."""
        return self.sensors_revision(), self._changes.number

    async def sensor(self, sensor_id: str) -> dict[str, Any]:
        tile, row = _cell(sensor_id), None
        if tile is None:
            row = await self._latest_row(sensor_id)
            tile = tile_at(row.lat, row.lng, FINEST_ZOOM)
        found = await self._points(self._points_in(tile) | {"limit": 1000, "after": ""})
        shown = next((_brief(one) for one in found if one["id"] == sensor_id), None)
        if shown is None:
            raise NotFound(
                f"nothing was heard of '{sensor_id[:40]}' for a day", code="unknown_sensor"
            )
        values = await self._values_of(sensor_id, shown) if row is None else _values(row)
        shown["latest"]["values"] = values
        return shown

    async def asked(
        self,
        sensor_id: str,
        from_us: int | None,
        to_us: int | None,
        resolution: str | None,
        quantities: Collection[str] | None,
    ) -> Asked:
        asked = self._terms.asked(sensor_id, from_us, to_us, resolution, quantities)
        if _cell(sensor_id) is None:
            await self._servers.read(_check_readings)
            await self._series.check_known(sensor_id)
        elif asked.resolution in ("raw", "5m"):
            if resolution is not None:
                raise ReadingsNotSynced("of a cell the centre has hours and days only: 1h, 1d")
            return self._terms.asked(sensor_id, from_us, to_us, "1h", quantities)
        return asked

    def history_revision(self, asked: Asked) -> Hashable:
        return self._terms.slot()

    def is_settled(self, asked: Asked) -> bool:
        return False

    async def history(self, asked: Asked) -> Readings | Buckets:
        cell = _cell(asked.sensor_id)
        if cell is not None:
            return await self._series.of_cell(asked, cell)
        return await self._series.of_sensor(asked)

    async def has_readings(self) -> bool:
        """Whether any node sends its readings."""
        return await self._servers.read(_has_readings)

    def _hours(self) -> range:
        """The hours of the window."""
        hour = self._clock.now_us() // HOUR_US
        return range(hour - HOURS + 1, hour + 2)

    async def _draw(self, wanted: Tile, layer: Layer) -> bytes:
        values, hours = self._points_in(wanted), self._hours()
        if isinstance(layer, int):
            hours = range(layer, layer + 1)
            values |= _latest_since(hours) | {"with_readings": False}
        elif layer is not None:
            values |= self._graded_by(layer)
        values |= {
            **_span_of(hours),
            "bits": max(FINEST_ZOOM - wanted.z - RASTER_BITS, 0),
            "colors": list(self.standard.colors),
            "no_color": NO_COLOR,
        }
        ((drawn,),) = await self._fetch("central_tile", values)
        return bytes(drawn)

    def _points_in(self, tile: Tile) -> dict[str, Any]:
        hours = self._hours()
        latest = hours if tile.z >= COARSE_ZOOM else hours[-LATEST_HOURS:]
        return {
            **_place_of(tile),
            **_span_of(hours),
            **_latest_since(latest),
            "with_readings": True,
            "levels": self.standard.levels[:-1].tolist(),
            "pollutants": list(self.standard.pollutants),
            "pollutant": None,
            "starts": None,
        }

    def _graded_by(self, pollutant: str) -> dict[str, Any]:
        """What lets a statement grade means of one pollutant."""
        if pollutant not in self._starts:
            highest = next(one.high for one in QUANTITIES if one.name == pollutant)
            self._starts[pollutant] = index_starts(self.standard, pollutant, highest)
        return {"pollutant": pollutant, "starts": self._starts[pollutant]}

    async def _points(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        async def work(connection: Connection) -> list[dict[str, Any]]:
            cursor = connection.cursor(row_factory=dict_row)
            return await (await cursor.execute(_text("central_sensors"), values)).fetchall()

        return await self._servers.read(work)

    async def _rows(self, name: str, box: Bounds, values: Mapping[str, Any]) -> list[Row]:
        return await self._read_rows(_text(name), {**_box(box), **values})

    async def _latest_row(self, sensor_id: str) -> Row:
        text = _ROWS_OF_SENSOR.replace("{central_row_columns}", statement("central_row_columns"))
        rows = await self._read_rows(text.encode(), {"sensor_id": sensor_id})
        if not rows:
            raise NotFound(f"the centre knows no sensor '{sensor_id[:40]}'", code="unknown_sensor")
        return rows[0]

    async def _read_rows(self, text: bytes, values: Mapping[str, Any]) -> list[Row]:
        since = to_moment(self._clock.now_us() - DAY_US)
        bound = {**values, "since": since, "since_day": since.date()}

        async def work(connection: Connection) -> list[Row]:
            await _check_readings(connection)
            cursor = await connection.cursor(row_factory=dict_row).execute(text, bound)
            return [stored_row(row) for row in await cursor.fetchall()]

        return await self._servers.read(work)

    async def _fetch(self, name: str, values: Mapping[str, Any]) -> list[Any]:
        async def work(connection: Connection) -> list[Any]:
            return await (await connection.execute(_text(name), values)).fetchall()

        return await self._servers.read(work)

    async def _values_of(self, sensor_id: str, shown: Mapping[str, Any]) -> dict[str, Any]:
        """The means of a cell's newest hour, by quantity."""
        at_us = int(datetime.fromisoformat(shown["latest"]["timestamp"]).timestamp()) * 1_000_000
        asked = Asked(sensor_id, "1h", at_us, at_us + HOUR_US, ())
        told = await self.history(asked)
        assert isinstance(told, Buckets)
        return {
            name: {"value": series.avg[0], "unit": series.unit, "aqi": None}
            for name, series in told.series.items()
            if name != "aqi" and series.avg and series.avg[0] is not None
        }


async def _has_readings(connection: Connection) -> bool:
    row = await (await connection.execute(_HAS_READINGS.encode())).fetchone()
    return bool(row and row[0])


async def _check_readings(connection: Connection) -> None:
    if not await _has_readings(connection):
        raise ReadingsNotSynced(
            "no node sends its readings here, only aggregates; ask the nodes, or let one sync with"
            ' sync_mode = "readings"'
        )


def _text(name: str) -> bytes:
    return statement(name).encode()


def _cell(sensor_id: str) -> Tile | None:
    """The tile whose cell is called so."""
    parts = sensor_id.removeprefix("z18-x").split("-y")
    if not sensor_id.startswith("z18-x") or len(parts) != 2:
        return None
    if not all(part.isascii() and part.isdigit() and len(part) <= 6 for part in parts):
        return None
    x, y = map(int, parts)
    return Tile(FINEST_ZOOM, x, y) if max(x, y) < 1 << FINEST_ZOOM else None


def _place_of(tile: Tile) -> dict[str, Any]:
    shift = FINEST_ZOOM - tile.z
    return {"z": tile.z, "x": tile.x, "y": tile.y, "shift": shift, **_box(tile.reach)}


def _box(box: Bounds) -> dict[str, float]:
    return {
        "west": box.min_lng,
        "south": box.min_lat,
        "east": box.max_lng,
        "north": box.max_lat,
    }


def _span_of(hours: range) -> dict[str, Any]:
    since = to_moment(hours.start * HOUR_US)
    until = to_moment(hours.stop * HOUR_US)
    return {"since_hour": since, "until_hour": until, "since_day": since.date()}


def _latest_since(hours: range) -> dict[str, Any]:
    """From when on something counts as the latest of its place."""
    since = to_moment(hours.start * HOUR_US)
    return {"latest_since": since, "latest_since_day": since.date()}


def _brief(row: Mapping[str, Any]) -> dict[str, Any]:
    """A sensor or a cell; the centre knows no more of it than its latest."""
    place = {"lat": row["lat"], "lng": row["lng"]}
    return {
        "id": row["id"],
        "name": row["id"],
        **place,
        "source": row["source"],
        "latest": {
            "timestamp": to_rfc3339(row["at_us"]),
            "aqi_value": row["aqi"],
            "level": row["level"],
            "dominant": row["dominant"],
            "flags": split_flags(row["flags"]),
            "source": row["source"],
            **place,
            "reported_aqi": row["reported_aqi"],
        },
    }


def _values(row: Row) -> dict[str, Any]:
    values = {}
    for quantity in QUANTITIES:
        value = getattr(row, quantity.name)
        if value is not None:
            aqi = getattr(row, f"{quantity.name}_aqi") if quantity.name in INDEXED else None
            values[quantity.name] = {"value": value, "unit": quantity.unit, "aqi": aqi}
    return values
