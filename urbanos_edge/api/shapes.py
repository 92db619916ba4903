"""What the answers look like, for the OpenAPI document and whoever reads it by machine.

A shape names what others may rely on; an answer may say more. `tests/browser/test_shapes.py` holds
real answers against them, and `scripts/api_types.py` makes the page's types of them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec

from urbanos_edge.alerts.events import Alert
from urbanos_edge.aqi.grades import BandStart
from urbanos_edge.aqi.standard import Band, Period
from urbanos_edge.basemap.tileset import Schema
from urbanos_edge.health.summary import Summary
from urbanos_edge.query.averaging import Brief
from urbanos_edge.query.rows import Row
from urbanos_edge.sync.standing import State


def told(shape: Any, status: int = 200) -> dict[int, ResponseSpec]:
    """The `responses` of a route that answers so with this shape."""
    return {status: ResponseSpec(shape, generate_examples=False, description="as asked")}


class NodeName(msgspec.Struct):
    """Who this node is."""

    id: str
    name: str


class SensorCount(msgspec.Struct):
    """How many sensors are registered, and have reported within 24 hours."""

    total: int
    reporting: int


class Extent(msgspec.Struct, rename="camel"):
    """Degrees, WGS 84."""

    min_lat: float
    max_lat: float
    min_lng: float
    max_lng: float


class BackupState(msgspec.Struct):
    """When the last backup was made, and when one was last read back and compared.

    Without a target (`backup_target`) the node makes none by itself or on request; `progress` is
    how far the one is that it makes now, from 0 to 1.
    """

    last_at: str | None
    last_proven_at: str | None
    proven_readings: int | None
    has_target: bool
    progress: float | None
    failure: str | None


class DiskState(msgspec.Struct):
    """What is free, and when it is full if all goes on like this."""

    free_bytes: int
    is_low: bool
    growth_bytes_per_day: float | None
    full_in_days: float | None


class SyncState(msgspec.Struct):
    """Between the node and its centre."""

    state: State
    centre: str | None
    mode: str
    failure: str | None
    failing_since: str | None
    heard_at: str | None
    pending_hours: int
    lag_s: float


class PullState(msgspec.Struct):
    """A source that the node fetches."""

    name: str
    kind: str
    succeeded_at: str | None
    failures: int
    failure: str | None


class PullStates(msgspec.Struct):
    """All of them, and the devices that were found and are asked."""

    sources: list[PullState]
    found: int
    failing: int


class Totals(msgspec.Struct):
    """Readings since the first start, and letters that are kept."""

    stored: int
    duplicates: int
    rejected: int
    dead_letters: int


class NodeStatus(msgspec.Struct):
    """The node at a glance; `boot` is new with every start."""

    node: NodeName
    version: str
    boot: str
    now: str
    demo: bool
    aqi_standard: str
    time_zone: str
    flush_interval_s: float
    sensors: SensorCount
    bounds: Extent | None
    started_at: str
    clock_in_doubt_since: str | None
    faults: list[str]
    quarantined: int
    backup: BackupState
    disk: DiskState
    sync: SyncState
    pulls: PullStates
    totals: Totals
    summary: Summary


class AveragingPeriod(msgspec.Struct):
    """What a pollutant's index is defined over, and what stands in before that is over.

    `unit` is that of the published table, for a gas by mass at `celsius`. `starts` are in
    `starts_unit`, the one that readings have: they hold for means over `period`, and no others.
    """

    period: Period
    current: Period
    unit: str
    celsius: int | None
    starts_unit: str
    starts: list[BandStart]


class Standard(msgspec.Struct):
    """An air quality index; `assist` says whose `assist_color` is."""

    id: str
    name: str
    publisher: str
    document: str
    date: str
    version: str
    assist: str
    pollutants: list[str]
    periods: dict[str, list[AveragingPeriod]]
    bands: list[Band]


class LatestReading(msgspec.Struct, kw_only=True):
    """A sensor's latest reading, with the index of its own concentrations.

    `received_at`, which a centre does not know, is when it arrived at the node.
    """

    timestamp: str
    aqi_value: int | None
    level: int | None
    dominant: str | None
    flags: list[str]
    source: str
    lat: float
    lng: float
    reported_aqi: float | None
    received_at: str | msgspec.UnsetType = msgspec.UNSET


class MeasuredValue(msgspec.Struct):
    """One quantity in its unit; `aqi` is its own index, where it has one."""

    value: float
    unit: str
    aqi: int | None


class DetailedReading(LatestReading):
    """The same with what was measured, by quantity."""

    values: dict[str, MeasuredValue]


class SensorEntry(msgspec.Struct):
    """A registered sensor; without a place until one is known."""

    id: str
    name: str
    lat: float | None
    lng: float | None
    source: str
    registered_at: str
    latest: LatestReading | None


class SensorList(msgspec.Struct):
    """Sensors by id; `total` counts those that are not listed, too."""

    sensors: list[SensorEntry]
    count: int
    total: int


class SensorDetail(SensorEntry):
    """One sensor with its latest values and its averages."""

    latest: DetailedReading | None
    averages: Brief


class AlertList(msgspec.Struct):
    """Alerts, those that are raised first; `raised` counts these."""

    alerts: list[Alert]
    count: int
    raised: int


class RowList(msgspec.Struct):
    """Rows of all grids that meet a box."""

    tiles: list[Row]
    count: int


class Place(msgspec.Struct):
    """Degrees, WGS 84."""

    lat: float
    lng: float


class GridStatistics(msgspec.Struct):
    """Where a grid lies, and its last 24 hours."""

    grid_id: str
    zoom_level: int
    bounds: Extent
    center: Place
    data_count: int
    avg_aqi: float | None
    max_aqi: int | None
    last_updated: str | None


class VectorLayer(msgspec.Struct):
    """A layer of a vector tile."""

    id: str


class TileJson(msgspec.Struct, kw_only=True):
    """The parts of TileJSON 3.0 that a map needs."""

    tiles: list[str]
    format: str | msgspec.UnsetType = msgspec.UNSET
    schema: Schema | msgspec.UnsetType = msgspec.UNSET
    """What styles fit a basemap's layers."""
    minzoom: int
    maxzoom: int
    bounds: list[float] | msgspec.UnsetType = msgspec.UNSET
    attribution: str
    vector_layers: list[VectorLayer] | msgspec.UnsetType = msgspec.UNSET
