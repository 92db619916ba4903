"""What the live map reads: the latest reading per sensor and the aggregates of the last 24 hours.

Its size follows sensors and hours, never readings. Writers change it under a lock; readers take a
`View`, which never changes once it is made.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt

from urbanos_edge import aqi
from urbanos_edge.batch import CORRECTION, RAW_NAMES, TYPES, Batch, from_columns
from urbanos_edge.clock import HOUR_US, SECOND_US
from urbanos_edge.engine import Engine, statement
from urbanos_edge.grid import FINEST_ZOOM, Bounds, Tile
from urbanos_edge.hours.hours import Hours
from urbanos_edge.quality.grading import grade
from urbanos_edge.quality.quality import FLAG_LABELS
from urbanos_edge.reading import INDEXED
from urbanos_edge.rollup.spots import UNIT_BITS, Spots, interval, positions, spots, z_order
from urbanos_edge.rollup.window import (
    HOURS,
    KEPT_HOURS,
    Ints,
    Table,
    Window,
    aggregate,
    rows_of,
    within,
)
from urbanos_edge.store.changed import hours_of
from urbanos_edge.store.damage import read_intact
from urbanos_edge.store.store import Store

_LATEST: Final = {
    **TYPES,
    "aqi_value": np.dtype(np.int16),
    "level": np.dtype(np.int16),
    "dominant": np.dtype(np.int16),
    "flags": np.dtype(np.uint8),
    **{f"{name}_aqi": np.dtype(np.int16) for name in INDEXED},
    "revision": np.dtype(np.int64),
}
_LABELLED: Final = ("sensor", "source", "pollution_type", CORRECTION)
_ADDED: Final = (CORRECTION, *RAW_NAMES.values())
"""Columns that are there from the first corrected reading on."""
CURRENT_FOR_US: Final = 15 * 60 * SECOND_US
"""So long a reading is current; the pages show older ones grey (`STALE_AFTER_S` there)."""
UPPER_BITS: Final = 32
"""Where the upper half of a number of `sensor_spots` begins: one addition makes two sums."""
_LOOK_AGAIN_US: Final = 60 * SECOND_US
"""Readings that grow old while nothing comes in make a new view at most so often."""
_NEVER_US: Final = np.iinfo(np.int64).max - CURRENT_FOR_US


class Places:
    """Rows by where they lie, so that those of a tile are found without looking at the others.

    Along the Z-order curve every tile of every zoom is one interval.
    """

    def __init__(self, columns: Table) -> None:
        keys = z_order(columns["x18"].astype(np.int64), columns["y18"].astype(np.int64))
        self._rows = np.argsort(keys, kind="stable")
        self._keys = keys[self._rows]
        self._columns = columns

    def inside(self, area: Tile | Bounds) -> npt.NDArray[np.intp]:
        """The rows that lie in a tile or a box; those of a tile in Z-order."""
        if isinstance(area, Tile):
            start, end = self._keys.searchsorted(interval(area)).tolist()
            return self._rows[start:end]
        return np.flatnonzero(inside(area, self._columns))


@dataclass(frozen=True, slots=True)
class View:
    """The rollup at one moment.

    `latest` has one row per sensor (its `sensor` column indexes `labels`), `sites` one per place
    a sensor measured at within the window; `hour` counts hours since 1970. Readings are current
    from `current_since_us` on; from `until_us` on time alone has made another view of it.
    """

    latest: Batch
    sites: Table
    row_by_sensor: dict[str, int]
    hour: int
    current_since_us: int
    until_us: int
    revision: int
    latest_places: Places
    site_places: Places
    sensor_spots: Spots
    site_spots: Spots

    @property
    def since_us(self) -> int:
        """Where the window begins."""
        return (self.hour - HOURS + 1) * HOUR_US

    def sensors_in(self, area: Tile | Bounds) -> npt.NDArray[np.intp]:
        """Rows of `latest` that lie in a tile or a box, and in the window."""
        rows = self.latest_places.inside(area)
        return rows[self.latest["timestamp_us"][rows] >= self.since_us]

    def sites_in(self, area: Tile | Bounds) -> npt.NDArray[np.intp]:
        """Rows of `sites` that lie in a tile or a box."""
        return self.site_places.inside(area)

    def revision_in(self, area: Tile | Bounds) -> int:
        """The number of the last change to anything shown there."""
        sites = self.sites["revision"][self.site_places.inside(area)]
        latest = self.latest["revision"][self.latest_places.inside(area)]
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

    def __init__(
        self, standard: aqi.Standard, store: Store, hours: Hours, engine: Engine, now_us: int
    ) -> None:
        self._standard = standard
        self._store = store
        self._hours = hours
        self._engine = engine
        self._lock = threading.Lock()
        self._labels: dict[str, int] = {}
        self._row_by_sensor: dict[str, int] = {}
        self._latest: Table = {name: np.empty(0, dtype) for name, dtype in _LATEST.items()}
        self._window = Window()
        self._revision = 0
        self._current_since_us = 0
        self._load(now_us)
        self._view = self._look(now_us)

    def view(self, now_us: int) -> View:
        """The state as of now; without new data the window moves on, and readings grow old."""
        if now_us // HOUR_US != self._view.hour or now_us >= self._view.until_us:
            with self._lock:
                self._revision += 1
                self._window.advance(now_us // HOUR_US)
                self._view = self._look(now_us)
        return self._view

    def during(self, hour: int) -> Table:
        """Per site what one hour of the window comes to; nothing of an hour outside it."""
        with self._lock:
            return self._window.totals(hour)

    def apply(self, batch: Batch, revised: npt.NDArray[np.bool_], now_us: int) -> Update:
        """Merge graded rows that are now in the store; count hours with revised ones anew."""
        corrected = batch.take(revised)
        hours = [h for h in hours_of(corrected["timestamp_us"]) if h in _kept(now_us // HOUR_US)]
        names = sorted(set(corrected.strings("sensor")))
        counted = self._sites(hours, names) if hours else {}
        with self._lock:
            self._revision += 1
            self._window.advance(now_us // HOUR_US)
            sensors = self._take_latest(batch)
            sites = aggregate(batch, sensors)
            anew = within(sites, sensors[corrected["sensor"]], hours)
            self._window.erase([self._row_by_sensor[name] for name in names], hours)
            self._window.add(rows_of(sites, ~anew), self._revision)
            self._window.add(_numbered(counted, self._row_by_sensor), self._revision)
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
            self._view = self._look(now_us)

    @property
    def went_back(self) -> bool:
        """Whether the clock was set back by hours, so that only a reload makes it whole."""
        return self._window.went_back

    def differences(self) -> int:
        """At how many sites the sums of the window are not those that are stored.

        It may take a while; readers and urgent readings go on, but nothing may be applied.
        """
        while True:
            hour = self._window.hour
            found = self._sites(_kept(hour))
            with self._lock:
                counted = Window()
                counted.advance(hour)
                counted.add(_numbered(found, self._row_by_sensor), self._revision)
                if hour == self._window.hour:
                    mine, theirs = _sums(self._window.totals()), _sums(counted.totals())
                    differing = {k for k in mine | theirs if mine.get(k) != theirs.get(k)}
                    return len(differing) + _unknown(found, self._row_by_sensor)

    def _update(self, now_us: int, sensors: Ints, sites: Table) -> Update:
        self._view = self._look(now_us)
        return Update(self._view, np.unique(sensors), sites)

    def _look(self, now_us: int) -> View:
        hour = now_us // HOUR_US
        since_us, until_us = self._grow_old(now_us)
        latest = {name: column.copy() for name, column in self._latest.items()}
        sites = self._window.totals()
        return View(
            Batch(list(self._labels), latest),
            sites,
            dict(self._row_by_sensor),
            hour,
            since_us,
            until_us,
            self._revision,
            Places(latest),
            Places(sites),
            sensor_spots(latest, (hour - HOURS + 1) * HOUR_US, since_us),
            site_spots(sites),
        )

    def _grow_old(self, now_us: int) -> tuple[int, int]:
        """Since when readings are current, and until when these are the ones.

        Where one no longer is, a tile is another one, though nothing came in.
        """
        at_us, since_us = self._latest["timestamp_us"], now_us - CURRENT_FOR_US
        is_current = at_us >= since_us
        self._latest["revision"][is_current != (at_us >= self._current_since_us)] = self._revision
        self._current_since_us = since_us
        first_us = int(at_us[is_current].min(initial=_NEVER_US))
        return since_us, max(first_us + CURRENT_FOR_US + 1, now_us + _LOOK_AGAIN_US)

    def _take_latest(self, batch: Batch) -> Ints:
        """Keep the newest row per sensor; return this rollup's row for each label of the batch."""
        newest = _last_of_each(batch["sensor"], batch["timestamp_us"])
        sensors = self._sensor_rows(batch, newest)
        rows = sensors[batch["sensor"][newest]]
        is_newer = batch["timestamp_us"][newest] >= self._latest["timestamp_us"][rows]
        rows, newest = rows[is_newer], newest[is_newer]
        self._leave_old_places(rows)
        relabel = np.array([self._label(label) for label in batch.labels])
        for name in _ADDED:
            if name in batch.columns and name not in self._latest:
                self._latest[name] = self._nothing(name, len(self._row_by_sensor))
        for name in self._latest.keys() - {"revision"}:
            if name not in batch.columns:
                self._latest[name][rows] = self._nothing(name, len(rows))
                continue
            column = batch[name][newest]
            self._latest[name][rows] = relabel[column] if name in _LABELLED else column
        self._latest["revision"][rows] = self._revision
        return sensors

    def _sensor_rows(self, batch: Batch, newest: npt.NDArray[np.intp]) -> Ints:
        sensors = np.zeros(len(batch.labels), np.int64)
        for number in batch["sensor"][newest].tolist():
            label = batch.labels[number]
            sensors[number] = self._row_by_sensor.setdefault(label, len(self._row_by_sensor))
        missing = len(self._row_by_sensor) - len(self._latest["sensor"])
        if missing:
            for name, column in self._latest.items():
                self._latest[name] = np.concatenate([column, self._nothing(name, missing)])
            self._latest["timestamp_us"][-missing:] = np.iinfo(np.int64).min
        return sensors

    def _nothing(self, name: str, count: int) -> npt.NDArray[Any]:
        """What stands in a column of so many sensors where a batch has nothing for it."""
        if name in _LATEST:
            return np.zeros(count, _LATEST[name])
        return np.full(count, self._label("") if name == CORRECTION else np.nan)

    def _label(self, label: str) -> int:
        return self._labels.setdefault(label, len(self._labels))

    def _leave_old_places(self, rows: Ints) -> None:
        for row in rows.tolist():
            x18, y18 = int(self._latest["x18"][row]), int(self._latest["y18"][row])
            self._window.touch(row, x18, y18, self._revision)

    def _load(self, now_us: int) -> None:
        self._window.advance(now_us // HOUR_US)
        found = self._sites(_kept(self._window.hour))
        if found:
            newest = self._newest(found)
            if newest is not None:
                self._take_latest(newest)
            self._window.add(_numbered(found, self._row_by_sensor), self._revision)

    def _sites(self, hours: Collection[int], sensors: Sequence[str] | None = None) -> Table:
        """What is stored of some hours, per site and hour, of all sensors when none are named."""

        def work(cursor: duckdb.DuckDBPyConnection) -> Table:
            return dict(
                cursor.execute(statement("window_sites"), {"sensors": sensors}).fetchnumpy()
            )

        return self._hours.read(hours, work) or {}

    def _newest(self, found: Table) -> Batch | None:
        """The graded readings at the last moment of each sensor; None if there are none."""
        _, sensor = np.unique(found["sensor_id"].astype(str), return_inverse=True)
        newest = _last_of_each(sensor, found["last_at_us"])

        def work(cursor: duckdb.DuckDBPyConnection, paths: list[str]) -> Batch | None:
            if not paths:
                return None
            cursor.register("newest", rows_of(found, newest))
            rows = cursor.execute(statement("newest_readings"), {"files": paths}).fetchnumpy()
            batch = from_columns(rows)
            grade(self._standard, batch)
            numbers = {label: number for number, label in enumerate(FLAG_LABELS)}
            batch.columns["flags"] = np.array([numbers[f] for f in rows["flags"]], np.uint8)
            return batch

        since_us = int(found["last_at_us"][newest].min())
        return read_intact(self._store, self._engine, lambda file: file.max_at_us >= since_us, work)


def sensor_spots(latest: Table, since_us: int, current_since_us: int) -> Spots:
    """The sensors with news in the window: what `tiles` draws of them, and adds up per cell.

    Per cell these are: how many; how many are trusted, and their indexes, with those of the
    current ones in the upper half; when one was measured, one more in the upper half where it is
    trusted; the highest index, likewise where it is current.
    """
    columns = rows_of(latest, latest["timestamp_us"] >= since_us)
    x, y = positions(columns)
    index, at_s = columns["aqi_value"], columns["timestamp_us"] // SECOND_US
    is_trusted = (index != aqi.NO_INDEX) & (columns["flags"] == 0)
    trusted = is_trusted.astype(np.int64)
    current = trusted * (columns["timestamp_us"] >= current_since_us) << UPPER_BITS
    told = [columns[name] for name in ("sensor", "source", "flags", "aqi_value", "level")]
    return spots(
        z_order(x >> UNIT_BITS, y >> UNIT_BITS),
        [x, y, *told, columns["dominant"], at_s],
        [np.ones(len(x), np.int64), trusted + current, (trusted + current) * index],
        [at_s + (trusted << UPPER_BITS), np.where(is_trusted, current + index, aqi.NO_INDEX)],
    )


def site_spots(sites: Table) -> Spots:
    """The sites with unflagged readings in the window: what `tiles` adds up per cell."""
    columns = rows_of(sites, sites["readings"] > 0)
    x, y = positions(columns)
    summed = [columns[name] for name in ("readings", "graded", "aqi_sum")]
    return spots(
        z_order(x >> UNIT_BITS, y >> UNIT_BITS),
        [],
        [np.ones(len(x), np.int64), x, y, *summed],
        [columns["aqi_max"]],
    )


def _kept(hour: int) -> range:
    """The hours of a window whose current hour this is."""
    return range(hour - KEPT_HOURS + 1, hour + 2)


def _numbered(found: Table, numbers: Mapping[str, int]) -> Table:
    """What `window_sites` found, with the sensors' numbers in place of their names."""
    if not found:
        return found
    columns = {name: np.asarray(column) for name, column in found.items()}
    rows = np.array([numbers.get(name, -1) for name in columns.pop("sensor_id").tolist()], np.int64)
    return rows_of(columns | {"sensor": rows}, rows >= 0)


def _unknown(found: Table, numbers: Mapping[str, int]) -> int:
    """At how many of the sites found stand sensors that have no number."""
    if not found:
        return 0
    sites = zip(*(found[name].tolist() for name in ("sensor_id", "x18", "y18")), strict=True)
    return len({site for site in sites if site[0] not in numbers})


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
