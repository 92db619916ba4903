"""What the live map reads: the latest reading per sensor and the aggregates of the last 24 hours.

Its size follows sensors and hours, never readings. Writers change it under a lock; readers take a
`View`, which never changes once it is made.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt

from urbanos_edge import aqi
from urbanos_edge.batch import ROW, Batch, finest_tiles, from_columns
from urbanos_edge.clock import HOUR_US
from urbanos_edge.damage import read_intact
from urbanos_edge.engine import Engine, statement
from urbanos_edge.grading import INDEXED, grade
from urbanos_edge.grid import FINEST_ZOOM, Bounds, Tile
from urbanos_edge.quality import FLAG_LABELS
from urbanos_edge.store import Store
from urbanos_edge.window import HOURS, KEPT_HOURS, Ints, Table, Window, aggregate, without_sensors

_LATEST: Final = {
    **{name: ROW.fields[name][0] for name in ROW.names or () if ROW.fields},
    "aqi_value": np.dtype(np.int16),
    "level": np.dtype(np.int16),
    "dominant": np.dtype(np.int16),
    "flags": np.dtype(np.uint8),
    **{f"{name}_aqi": np.dtype(np.int16) for name in INDEXED},
    "revision": np.dtype(np.int64),
}


@dataclass(frozen=True, slots=True)
class View:
    """The rollup at one moment.

    `latest` has one row per sensor (its `sensor` column indexes `labels`), `sites` one per place
    a sensor measured at within the window; `hour` counts hours since 1970.
    """

    latest: Batch
    sites: Table
    row_by_sensor: dict[str, int]
    hour: int
    revision: int

    @property
    def since_us(self) -> int:
        """Where the window begins."""
        return (self.hour - HOURS + 1) * HOUR_US

    def sensors_in(self, tile: Tile) -> npt.NDArray[np.intp]:
        """Rows of `latest` that lie in a tile and in the window."""
        current = self.latest["timestamp_us"] >= self.since_us
        return np.flatnonzero(current & inside(tile, self.latest.columns))

    def sites_in(self, area: Tile | Bounds) -> npt.NDArray[np.intp]:
        """Rows of `sites` that lie in a tile or a box."""
        return np.flatnonzero(inside(area, self.sites))

    def revision_in(self, area: Tile | Bounds) -> int:
        """The number of the last change to anything shown there."""
        sites = self.sites["revision"][inside(area, self.sites)]
        latest = self.latest["revision"][inside(area, self.latest.columns)]
        return int(max(sites.max(initial=0), latest.max(initial=0)))


@dataclass(frozen=True, slots=True)
class Update:
    """One change: which sensors have news, and what came in, per site, by this change alone."""

    view: View
    sensors: Ints
    sites: Table


def inside(area: Tile | Bounds, columns: Table) -> npt.NDArray[np.bool_]:
    """Which rows with `x18, y18` or `lng, lat` lie in the area."""
    if isinstance(area, Tile):
        shift = FINEST_ZOOM - area.z
        mask: npt.NDArray[np.bool_] = (columns["x18"] >> shift == area.x) & (
            columns["y18"] >> shift == area.y
        )
        return mask
    lng, lat = columns["lng"], columns["lat"]
    return np.asarray(
        (lng >= area.min_lng)
        & (lng <= area.max_lng)
        & (lat >= area.min_lat)
        & (lat <= area.max_lat)
    )


class Rollup:
    """Kept up to date by each flush, and by urgent readings between two."""

    def __init__(self, standard: aqi.Standard, store: Store, engine: Engine, now_us: int) -> None:
        self._standard = standard
        self._store = store
        self._engine = engine
        self._lock = threading.Lock()
        self._labels: dict[str, int] = {}
        self._row_by_sensor: dict[str, int] = {}
        self._latest: Table = {name: np.empty(0, dtype) for name, dtype in _LATEST.items()}
        self._window = Window()
        self._revision = 0
        self._load(now_us)
        self._view = self._look(now_us // HOUR_US)

    def view(self, now_us: int) -> View:
        """The state as of now; a new hour moves the window on without new data."""
        hour = now_us // HOUR_US
        if hour != self._view.hour:
            with self._lock:
                self._window.advance(hour)
                self._view = self._look(hour)
        return self._view

    def apply(self, batch: Batch, revised: npt.NDArray[np.bool_], now_us: int) -> Update:
        """Merge graded rows that are now in the store; count sensors with revised ones anew."""
        with self._lock:
            self._revision += 1
            self._window.advance(now_us // HOUR_US)
            sensors = self._take_latest(batch)
            sites = aggregate(batch, sensors)
            recount = np.unique(sensors[batch["sensor"]][revised])
            self._window.add(without_sensors(sites, recount), self._revision)
            if recount.size:
                self._recount(recount)
            return self._update(now_us, sensors[batch["sensor"]], sites)

    def deliver(self, batch: Batch, now_us: int) -> Update:
        """Show graded rows that are durable but not in the store yet; aggregates stay."""
        with self._lock:
            self._revision += 1
            sensors = self._take_latest(batch)
            return self._update(now_us, sensors[batch["sensor"]], aggregate(batch, sensors))

    def reload(self, now_us: int) -> None:
        """Forget everything and read it from the store again, after rows moved in time."""
        with self._lock:
            self._revision += 1
            self._window = Window()
            self._latest["timestamp_us"][:] = np.iinfo(np.int64).min
            self._load(now_us)
            self._view = self._look(now_us // HOUR_US)

    def differences(self) -> int:
        """At how many sites the sums of the window are not those that the store gives.

        It may take a while; readers and urgent readings go on, but nothing may be applied.
        """
        while True:
            hour = self._window.hour
            since_us = (hour - KEPT_HOURS + 1) * HOUR_US
            found = self._query("window_sites", {"since_us": since_us, "sensors": None})
            with self._lock:
                numbers = defaultdict(lambda: -1, self._row_by_sensor)
                counted = Window()
                counted.advance(hour)
                if found:
                    counted.add(_sites(found, numbers), self._revision)
                if hour == self._window.hour:
                    mine, theirs = _sums(self._window.totals()), _sums(counted.totals())
                    return sum(mine.get(k) != theirs.get(k) for k in mine.keys() | theirs.keys())

    def _update(self, now_us: int, sensors: Ints, sites: Table) -> Update:
        self._view = self._look(now_us // HOUR_US)
        return Update(self._view, np.unique(sensors), sites)

    def _look(self, hour: int) -> View:
        latest = {name: column.copy() for name, column in self._latest.items()}
        return View(
            Batch(list(self._labels), latest),
            self._window.totals(),
            dict(self._row_by_sensor),
            hour,
            self._revision,
        )

    def _take_latest(self, batch: Batch) -> Ints:
        """Keep the newest row per sensor; return this rollup's row for each label of the batch."""
        newest = _last_of_each(batch["sensor"], batch["timestamp_us"])
        sensors = self._sensor_rows(batch, newest)
        rows = sensors[batch["sensor"][newest]]
        is_newer = batch["timestamp_us"][newest] >= self._latest["timestamp_us"][rows]
        rows, newest = rows[is_newer], newest[is_newer]
        self._leave_old_places(rows)
        relabel = np.array([self._label(label) for label in batch.labels])
        for name in _LATEST.keys() - {"revision"}:
            column = batch[name][newest]
            is_label = name in ("sensor", "source", "pollution_type")
            self._latest[name][rows] = relabel[column] if is_label else column
        self._latest["revision"][rows] = self._revision
        return sensors

    def _sensor_rows(self, batch: Batch, newest: npt.NDArray[np.intp]) -> Ints:
        sensors = np.zeros(len(batch.labels), np.int64)
        for number in batch["sensor"][newest].tolist():
            label = batch.labels[number]
            sensors[number] = self._row_by_sensor.setdefault(label, len(self._row_by_sensor))
        missing = len(self._row_by_sensor) - len(self._latest["sensor"])
        if missing:
            for name, dtype in _LATEST.items():
                filler = np.zeros(missing, dtype)
                self._latest[name] = np.concatenate([self._latest[name], filler])
            self._latest["timestamp_us"][-missing:] = np.iinfo(np.int64).min
        return sensors

    def _label(self, label: str) -> int:
        return self._labels.setdefault(label, len(self._labels))

    def _leave_old_places(self, rows: Ints) -> None:
        for row in rows.tolist():
            x18, y18 = int(self._latest["x18"][row]), int(self._latest["y18"][row])
            self._window.touch(row, x18, y18, self._revision)

    def _load(self, now_us: int) -> None:
        self._window.advance(now_us // HOUR_US)
        since_us = (now_us // HOUR_US - KEPT_HOURS + 1) * HOUR_US
        found = self._query("window_latest", {"since_us": since_us})
        if not found:
            return
        batch = from_columns(found)
        grade(self._standard, batch)
        numbers = {label: number for number, label in enumerate(FLAG_LABELS)}
        batch.columns["flags"] = np.array([numbers[f] for f in found["flags"]], np.uint8)
        self._take_latest(batch)
        self._recount(None)

    def _recount(self, sensors: Ints | None) -> None:
        """Count the window anew from the store, for some sensors or for all."""
        since_us = (self._window.hour - KEPT_HOURS + 1) * HOUR_US
        names = list(self._row_by_sensor)
        wanted = None if sensors is None else [names[row] for row in sensors.tolist()]
        if sensors is not None:
            self._window.erase(sensors)
        found = self._query("window_sites", {"since_us": since_us, "sensors": wanted})
        if found:
            self._window.add(_sites(found, self._row_by_sensor), self._revision)

    def _query(self, name: str, parameters: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
        since_us = parameters["since_us"]

        def work(cursor: duckdb.DuckDBPyConnection, paths: list[str]) -> dict[str, Any]:
            if not paths:
                return {}
            return cursor.execute(statement(name), {"files": paths, **parameters}).fetchnumpy()

        return read_intact(self._store, self._engine, lambda file: file.max_at_us >= since_us, work)


def _sites(found: dict[str, npt.NDArray[Any]], numbers: Mapping[str, int]) -> Table:
    """What `window_sites` found, with the sensors' numbers in place of their names."""
    columns = {name: np.asarray(column) for name, column in found.items()}
    rows = [numbers[name] for name in columns.pop("sensor_id").tolist()]
    x18, y18 = finest_tiles(found["lng"], found["lat"])
    return columns | {"sensor": np.array(rows, np.int64), "x18": x18, "y18": y18}


def _sums(totals: Table) -> dict[tuple[int, ...], tuple[int, ...]]:
    """The sums by site, where there are any."""
    keys = zip(*(totals[name].tolist() for name in ("sensor", "x18", "y18")), strict=True)
    names = ("readings", "graded", "aqi_sum", "aqi_max")
    values = zip(*(totals[name].tolist() for name in names), strict=True)
    return {key: sums for key, sums in zip(keys, values, strict=True) if sums[0]}


def _last_of_each(sensor: Ints, timestamp_us: Ints) -> npt.NDArray[np.intp]:
    """The row with the latest timestamp of every sensor."""
    order = np.lexsort((timestamp_us, sensor))
    is_last = np.append(sensor[order][1:] != sensor[order][:-1], True)[: len(order)]
    last: npt.NDArray[np.intp] = order[is_last]
    return last
