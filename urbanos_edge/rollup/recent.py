"""The readings of the last 24 hours in memory, so that a map's lists need no file.

Everything stored since the horizon is here, by hour and origin. The horizon lies in the future at
the start, goes back an hour at a time while hours are loaded, and comes forward when the memory it
may take is full: the oldest readings give way. What lies before it is in the files.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.batch import CORRECTION, RAW_NAMES, Batch, finest_tiles
from urbanos_edge.clock import DAY_US, HOUR_US
from urbanos_edge.engine import Engine, statement
from urbanos_edge.grid import FINEST_ZOOM, Tile
from urbanos_edge.quality.quality import FLAG_LABELS
from urbanos_edge.rollup.rollup import Places
from urbanos_edge.rollup.segment import Ints, Rows, Segment, Table, merged, segment, taken
from urbanos_edge.store.damage import read_intact
from urbanos_edge.store.identity import MERGED
from urbanos_edge.store.manifest import File
from urbanos_edge.store.store import Store

NOTHING_HERE_US: Final = 2**62
"""The horizon while nothing is loaded."""
HOURS: Final = DAY_US // HOUR_US
LOAD_ROWS: Final = 60_000
"""About as many are loaded at a time, which bounds the memory it takes."""
SHORTEST_US: Final = HOUR_US // 32
"""Of what is loaded at a time; the longest is an hour."""
MOST_ROWS: Final = 4 * LOAD_ROWS
"""What is denser than this even in the shortest span is left to the files."""
DROPPED_US: Final = HOUR_US // 8
"""Gives way at a time: of a busy hour all at once would leave the memory empty for long."""
TAIL: Final = 8
"""What comes late to an hour is laid to the rest of it once it is more than this part of it."""
_ORIGIN_BYTES: Final = 200
"""What an origin costs, with its strings and its places in the indexes, roughly."""

_Key = tuple[str, str, str, float, float, str]


@dataclass(frozen=True, slots=True)
class Origins:
    """Who measured where, corrected by what: numbered, with the columns that a batch has for it."""

    keys: list[_Key]
    labels: list[str]
    columns: Table
    places: Places
    numbers: dict[_Key, int]


@dataclass(frozen=True, slots=True)
class _State:
    """What readers see: it is replaced, never changed."""

    horizon_us: int = NOTHING_HERE_US
    origins: Origins = field(default_factory=lambda: _origins([]))
    hours: dict[int, tuple[Segment, ...]] = field(default_factory=dict)


class Recent:
    """Changed by one thread at a time, read by any number."""

    def __init__(self, store: Store, engine: Engine, budget_bytes: int) -> None:
        self._store = store
        self._engine = engine
        self._budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._state = _State()
        self.is_loading = True
        """Whether hours before the horizon are still to come."""

    @property
    def horizon_us(self) -> int:
        """Every stored reading since this moment is here."""
        return self._state.horizon_us

    @property
    def bytes(self) -> int:
        return _bytes(self._state)

    @property
    def rows(self) -> int:
        return sum(len(part) for parts in self._state.hours.values() for part in parts)

    def forget(self) -> None:
        """Begin anew: what is stored changed otherwise than by a flush."""
        with self._lock:
            self._state = _State()
            self.is_loading = True

    def load_more(self, now_us: int) -> bool:
        """Bring what lies just before the horizon from the files; False when all that may is here.

        Nothing may be stored meanwhile.

        Raises:
            StorageUnavailable: a file could not be read.
        """
        state, hour = self._state, now_us // HOUR_US
        is_first = state.horizon_us == NOTHING_HERE_US
        end_us = (hour + 1) * HOUR_US if is_first else state.horizon_us
        files = self._store.files
        span_us = _load_us(files, end_us)
        from_us = end_us - span_us
        is_old = from_us < (hour - HOURS) * HOUR_US
        # Of a clock that is not set yet all that is stored lies in the future.
        newest_us = max((file.max_at_us for file in files), default=0) if is_first else 0
        read_us = max(end_us, newest_us + 1) - from_us
        is_dense = _rows_in(files, from_us + read_us, read_us) > MOST_ROWS
        self.is_loading = not (is_old or is_dense or state.hours and self._is_full())
        if not self.is_loading:
            return False
        found = self._read(from_us, NOTHING_HERE_US if is_first else end_us)
        with self._lock:
            state = self._state
            if found is not None:
                keys, rows = found
                state, rows["origin"] = _with_origins(state, keys, rows["origin"])
                state = _with_rows(state, rows)
            self._state = _State(from_us, state.origins, state.hours)
        return True

    def add(self, batch: Batch, revised: npt.NDArray[np.bool_], now_us: int) -> None:
        """Take graded rows that are now in the store; `revised` ones replace what is here."""
        is_here = batch["timestamp_us"] >= self._state.horizon_us
        with self._lock:
            state = self._state
            if (revised & is_here).any():
                state = _without(state, batch.take(revised & is_here))
            if is_here.any():
                keys, rows = _by_origin(batch.take(is_here))
                state, rows["origin"] = _with_origins(state, keys, rows["origin"])
                state = _with_rows(state, rows)
            self._state = self._within_bounds(state, now_us)

    def tidy(self, now_us: int) -> bool:
        """Gather the pieces of an hour that is over; False when none is in pieces any more.

        Nothing may be stored meanwhile.
        """
        hours = self._state.hours
        over = (hour for hour in sorted(hours, reverse=True) if (hour + 1) * HOUR_US <= now_us)
        hour = next((one for one in over if _is_in_pieces(hours[one])), None)
        if hour is None:
            return False
        first, *others = hours[hour]
        later = merged(others)
        parts = (merged([first, later]),) if _is_in_pieces((first, later)) else (first, later)
        with self._lock:
            state = self._state
            self._state = _State(state.horizon_us, state.origins, {**state.hours, hour: parts})
        return True

    def newest(self, tile: Tile, since_us: int, limit: int) -> tuple[Batch, int]:
        """Rows of a tile after a moment, newest first, at most `limit`; and the horizon.

        They carry no indexes, which follow from the values; what is older than it is missing.
        """
        state = self._state
        wanted = np.sort(state.origins.places.inside(tile))
        since_us = max(since_us, state.horizon_us - 1)
        found: list[tuple[Segment, Rows]] = []
        for hour in sorted(state.hours, reverse=True) if len(wanted) else ():
            if (hour + 1) * HOUR_US <= since_us or sum(len(rows) for _, rows in found) >= limit:
                break
            parts = state.hours[hour]
            found += [(part, _newest_of(part, wanted, since_us, limit)) for part in parts]
        rows = _taken(found)
        order = np.lexsort((state.origins.columns["rank"][rows["origin"]], -rows["timestamp_us"]))
        first = order[:limit]
        newest = {name: column[first] for name, column in rows.items()}
        return _batch(state.origins, newest), state.horizon_us

    def of_sensor(self, sensor_id: str, from_us: int, until_us: int) -> tuple[Batch, int]:
        """Rows of a sensor with from ≤ moment < until, in any order; and the horizon.

        As with `newest`, they carry no indexes, and what is older than the horizon is missing.
        """
        state = self._state
        from_us = max(from_us, state.horizon_us)
        labels, columns = state.origins.labels, state.origins.columns
        number = labels.index(sensor_id) if sensor_id in labels else -1
        wanted = np.flatnonzero(columns["sensor"] == number)
        found = [
            (part, _between(part, wanted, from_us, until_us))
            for hour, parts in state.hours.items()
            if hour * HOUR_US < until_us and (hour + 1) * HOUR_US > from_us
            for part in parts
        ]
        return _batch(state.origins, _taken(found)), state.horizon_us

    def tiles_between(self, first: Tile, last: Tile) -> list[Tile]:
        """The tiles with rows, of those from the north-west to the south-east one."""
        columns, shift = self._state.origins.columns, FINEST_ZOOM - first.z
        x, y = columns["x18"] >> shift, columns["y18"] >> shift
        inside = (x >= first.x) & (x <= last.x) & (y >= first.y) & (y <= last.y)
        found = set(zip(x[inside].tolist(), y[inside].tolist(), strict=True))
        return [Tile(first.z, *place) for place in sorted(found)]

    def _is_full(self) -> bool:
        """Whether another hour like those that are here would be too much."""
        count = len(self._state.hours)
        return _bytes(self._state) * (count + 1) > self._budget_bytes * count

    def _within_bounds(self, state: _State, now_us: int) -> _State:
        """Drop what is too old or too much, and the origins that only that had."""
        oldest = now_us // HOUR_US - HOURS
        while state.hours and (min(state.hours) < oldest or _bytes(state) > self._budget_bytes):
            first = min(state.hours)
            from_us = max(state.horizon_us, first * HOUR_US)
            end_us = (first + 1) * HOUR_US
            if first >= oldest:
                end_us = min(from_us + DROPPED_US, end_us)
            state = _with_used_origins(_since(state, end_us))
        return state

    def _read(self, from_us: int, until_us: int) -> tuple[list[_Key], Table] | None:
        bounds = {"from_us": from_us, "until_us": until_us}

        def work(
            cursor: duckdb.DuckDBPyConnection, paths: list[str]
        ) -> tuple[list[_Key], Table] | None:
            if not paths:
                return None
            cursor.execute(statement("recent_rows"), {"files": paths, **bounds})
            cursor.execute(statement("recent_origins"))
            labels = msgspec.json.encode(FLAG_LABELS).decode()
            found = cursor.execute(statement("recent_numbers"), {"flag_labels": labels})
            rows = {name: np.asarray(column) for name, column in found.fetchnumpy().items()}
            return cursor.execute(_KEYS).fetchall(), rows

        return read_intact(
            self._store,
            self._engine,
            lambda file: file.min_at_us < until_us and file.max_at_us >= from_us,
            work,
        )


_KEYS: Final = """
SELECT sensor_id, source, pollution_type, lng, lat, correction FROM recent_origins ORDER BY origin
"""
_KEPT: Final = ("timestamp_us", "received_us", "flags", *MERGED)


def _by_origin(batch: Batch) -> tuple[list[_Key], Table]:
    """The distinct origins of rows, and the rows with the number of theirs.

    Rows of one sensor mostly follow one another, so only where something changes is looked up.
    """
    named = ["sensor", "source", "pollution_type", "lng", "lat"]
    named += [CORRECTION] if CORRECTION in batch.columns else []
    changes = np.ones(len(batch), bool)
    changes[1:] = np.logical_or.reduce([batch[n][1:] != batch[n][:-1] for n in named])
    first = batch.take(np.flatnonzero(changes))
    keys = zip(
        first.strings("sensor"),
        first.strings("source"),
        first.strings("pollution_type"),
        first["lng"].tolist(),
        first["lat"].tolist(),
        first.strings(CORRECTION) if CORRECTION in first.columns else [""] * len(first),
        strict=True,
    )
    runs: list[_Key] = list(keys)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(runs))}
    of_run = np.array([numbers[key] for key in runs], np.int64)
    origin = of_run[np.cumsum(changes) - 1]
    return list(numbers), {"origin": origin, **_kept(batch.columns)}


def _origins(keys: list[_Key]) -> Origins:
    labels: dict[str, int] = {}
    names = ["sensor", "source", "pollution_type"]
    spelled = [[k[0] for k in keys], [k[1] for k in keys], [k[2] for k in keys]]
    if any(k[5] for k in keys):
        names.append(CORRECTION)
        spelled.append([k[5] for k in keys])
    named = [[labels.setdefault(name, len(labels)) for name in one] for one in spelled]
    lng = np.array([key[3] for key in keys], np.float64)
    lat = np.array([key[4] for key in keys], np.float64)
    x18, y18 = finest_tiles(lng, lat)
    columns: Table = {
        **{name: np.array(column, np.int64) for name, column in zip(names, named, strict=True)},
        **{"lng": lng, "lat": lat, "x18": x18, "y18": y18},
        "rank": np.unique(np.array([key[0] for key in keys], str), return_inverse=True)[1],
    }
    numbers = {key: number for number, key in enumerate(keys)}
    return Origins(keys, list(labels), columns, Places(columns), numbers)


def _with_origins(state: _State, keys: list[_Key], numbers: Ints) -> tuple[_State, Ints]:
    """Take in origins; return the state and, for numbers within `keys`, those within all."""
    fresh = [key for key in keys if key not in state.origins.numbers]
    origins = _origins(state.origins.keys + fresh) if fresh else state.origins
    place_of = np.array([origins.numbers[key] for key in keys], np.int64)
    return _State(state.horizon_us, origins, state.hours), place_of[numbers]


def _with_used_origins(state: _State) -> _State:
    """Forget origins that no row has any more, once they are the most."""
    parts = [part for segments in state.hours.values() for part in segments]
    used = np.unique(np.concatenate([np.empty(0, np.int32), *(part.origin for part in parts)]))
    if 2 * len(used) >= len(state.origins.keys):
        return state
    numbers = np.zeros(len(state.origins.keys), np.int32)
    numbers[used] = np.arange(len(used))
    hours = {
        hour: tuple(part.renumbered(numbers) for part in segments)
        for hour, segments in state.hours.items()
    }
    kept = [state.origins.keys[number] for number in used.tolist()]
    return _State(state.horizon_us, _origins(kept), hours)


def _with_rows(state: _State, rows: Table) -> _State:
    """Add rows to their hours; small segments are merged so that each row moves a few times."""
    hours = dict(state.hours)
    of_hour = rows["timestamp_us"] // HOUR_US
    for hour in np.unique(of_hour).tolist():
        added = {name: column[of_hour == hour] for name, column in rows.items()}
        parts = [*hours.get(hour, ()), segment(hour, added)]
        while len(parts) > 1 and len(parts[-2]) <= 2 * len(parts[-1]):
            parts[-2:] = [merged(parts[-2:])]
        hours[hour] = tuple(parts)
    return _State(state.horizon_us, state.origins, hours)


def _is_in_pieces(parts: Sequence[Segment]) -> bool:
    """Whether there are more than two, or a second one that is not small."""
    return len(parts) > 2 or (len(parts) == 2 and TAIL * len(parts[1]) > len(parts[0]))


def _since(state: _State, horizon_us: int) -> _State:
    """Forget what lies before a moment in the oldest hour."""
    hours = dict(state.hours)
    first = min(hours)
    left = [part.since(horizon_us) for part in hours.pop(first)]
    if any(map(len, left)):
        hours[first] = tuple(part for part in left if len(part))
    return _State(horizon_us, state.origins, hours)


def _without(state: _State, revised: Batch) -> _State:
    """Take out the rows of some identities."""
    number_of = {label: number for number, label in enumerate(state.origins.labels)}
    sensor = np.array([number_of.get(label, -1) for label in revised.labels])[revised["sensor"]]
    hours = dict(state.hours)
    of_hour = revised["timestamp_us"] // HOUR_US
    for hour in set(of_hour.tolist()) & hours.keys():
        gone = of_hour == hour
        identities = _identity(sensor[gone], revised["timestamp_us"][gone], hour)
        hours[hour] = tuple(
            _without_identities(part, state.origins, sensor[gone], identities)
            for part in hours[hour]
        )
    return _State(state.horizon_us, state.origins, hours)


def _without_identities(part: Segment, origins: Origins, sensors: Ints, gone: Ints) -> Segment:
    rows = part.rows_of(np.flatnonzero(np.isin(origins.columns["sensor"], sensors)))
    sensor = origins.columns["sensor"][part.origin[rows]]
    is_gone = np.isin(_identity(sensor, part.at_us(rows), part.hour), gone)
    if not is_gone.any():
        return part
    dropped = np.zeros(len(part), bool)
    dropped[rows[is_gone]] = True
    return part.without(dropped)


def _identity(sensor: Ints, at_us: Ints, hour: int) -> Ints:
    """One number for a sensor and a moment within an hour."""
    return sensor << 32 | (at_us - hour * HOUR_US)


def _newest_of(part: Segment, origins: Ints, since_us: int, limit: int) -> Rows:
    """The newest rows of some origins in a segment; those of the last moment may be more."""
    rows = part.rows_of(origins)
    at_us = part.at_us(rows)
    if len(rows) > limit:
        since_us = max(since_us, int(np.partition(at_us, -limit)[-limit]) - 1)
    return rows[at_us > since_us]


def _between(part: Segment, origins: Ints, from_us: int, until_us: int) -> Rows:
    """The rows of some origins in a segment and a span."""
    rows = part.rows_of(origins)
    at_us = part.at_us(rows)
    return rows[(at_us >= from_us) & (at_us < until_us)]


def _load_us(files: Sequence[File], end_us: int) -> int:
    """How long a span before a moment may be loaded at once, by what the manifest says."""
    span_us = HOUR_US
    while span_us > SHORTEST_US and _rows_in(files, end_us, span_us) > LOAD_ROWS:
        span_us //= 2
    return span_us


def _rows_in(files: Sequence[File], end_us: int, span_us: int) -> float:
    """About how many rows lie in a span, if those of a file are spread evenly over its own."""
    begin_us = end_us - span_us
    return sum(
        file.rows
        * (min(file.max_at_us + 1, end_us) - max(file.min_at_us, begin_us))
        / (file.max_at_us + 1 - file.min_at_us)
        for file in files
        if file.min_at_us < end_us and file.max_at_us >= begin_us
    )


def _length(rows: Table) -> int:
    return len(rows["origin"])


def _kept(columns: Table) -> Table:
    """The numbers of rows that are kept in segments."""
    raw = [name for name in RAW_NAMES.values() if name in columns]
    return {name: columns[name] for name in (*_KEPT, *raw)}


def _taken(picks: Sequence[tuple[Segment, Rows]]) -> Table:
    if not picks:
        return {name: np.empty(0, np.int64) for name in ("origin", *_KEPT)}
    return taken(picks)


def _batch(origins: Origins, rows: Table) -> Batch:
    """Rows as a batch, with what their origins say."""
    columns = {
        name: column[rows["origin"]] for name, column in origins.columns.items() if name != "rank"
    }
    columns |= _kept(rows)
    columns["timing"] = np.zeros(_length(rows), np.uint8)
    columns["channels_disagree"] = np.zeros(_length(rows), bool)
    return Batch(origins.labels, columns)


def _bytes(state: _State) -> int:
    parts = sum(part.bytes for segments in state.hours.values() for part in segments)
    return parts + len(state.origins.keys) * _ORIGIN_BYTES
