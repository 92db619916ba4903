"""What one sensor measured: every reading, or what each five minutes, hour or day comes to.

Hours and days are answered from the hourly aggregates, also when their readings are gone. What is
finer is read from the readings: since the horizon from memory, before it from the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any, Final
from zoneinfo import ZoneInfo

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge import aqi
from urbanos_edge.batch import Batch
from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US, Clock, all_to_rfc3339, to_rfc3339
from urbanos_edge.engine import Engine, statement
from urbanos_edge.errors import Unprocessable
from urbanos_edge.hours.hours import Hours
from urbanos_edge.quality.quality import FLAG_LABELS
from urbanos_edge.query.resolution import (
    DAILY,
    FIVE_MINUTES_US,
    MINUTES,
    RAW,
    chosen,
    days_of,
    hours_within,
    widened,
)
from urbanos_edge.query.rows import split_flags
from urbanos_edge.reading import QUANTITIES
from urbanos_edge.rollup.recent import Recent
from urbanos_edge.store.damage import read_intact
from urbanos_edge.store.manifest import File
from urbanos_edge.store.store import Store

MAX_READINGS: Final = 10_000
"""Rows of an answer without buckets; the oldest come first."""
DEFAULT_SPAN_US: Final = DAY_US
SETTLES_US: Final = HOUR_US
"""What is younger changes with every flush: it is shown as of the current slot."""
SCALE: Final = 10_000
"""Aggregates are integers of one part in so many of the unit."""
INDEX: Final = "aqi"
UNITS: Final = {INDEX: "index"} | {quantity.name: quantity.unit for quantity in QUANTITIES}
_PARTS: Final = ("count", "sum", "min", "max", "flagged")
_LABELS: Final = msgspec.json.encode(FLAG_LABELS).decode()

Table = dict[str, npt.NDArray[Any]]


class Asked(msgspec.Struct, frozen=True):
    """What is wanted of a sensor: from ≤ moment < to, both on the edges of buckets.

    No `quantities` means all that occur, and the index.
    """

    sensor_id: str
    resolution: str
    from_us: int
    to_us: int
    quantities: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities to look for."""
        return self.quantities or tuple(UNITS)

    def shows(self, name: str, occurs: bool) -> bool:
        """Whether a quantity is part of the answer."""
        return occurs or name == INDEX or bool(self.quantities)


class Values(msgspec.Struct):
    """One quantity of every reading; null where it was not measured."""

    unit: str
    value: list[float | None]


class Readings(msgspec.Struct, rename={"from_": "from"}):
    """Readings by time, column by column; `next_from` is where a truncated answer goes on."""

    sensor_id: str
    resolution: str
    from_: str
    to: str
    time_zone: str
    at: list[str]
    flags: list[list[str]]
    series: dict[str, Values]
    truncated: bool
    next_from: str | None


class Series(msgspec.Struct):
    """One quantity per bucket: of its unflagged values, null where there is none; and `flagged`."""

    unit: str
    count: list[int]
    avg: list[float | None]
    min: list[float | None]
    max: list[float | None]
    flagged: list[int]


class Buckets(msgspec.Struct, rename={"from_": "from"}):
    """Buckets with anything in them by time, column by column; `at` is where each begins."""

    sensor_id: str
    resolution: str
    from_: str
    to: str
    time_zone: str
    at: list[str]
    series: dict[str, Series]
    truncated: bool = False


class Terms:
    """How questions are put and headed: by which clock, in which zone, and for how long."""

    def __init__(self, clock: Clock, time_zone: str, slot_s: float) -> None:
        self.zone = ZoneInfo(time_zone)
        self._clock = clock
        self._slot_us = max(int(slot_s * SECOND_US), SECOND_US)

    def asked(
        self,
        sensor_id: str,
        from_us: int | None,
        to_us: int | None,
        resolution: str | None,
        quantities: Collection[str] | None,
    ) -> Asked:
        """Fill in what was left out, and widen the span to whole buckets.

        Without `to` it ends with the current slot, so that requests within one share an answer.

        Raises:
            Unprocessable: an unknown name, an empty span, or more than is given at once.
        """
        if to_us is None:
            to_us = (self.slot() + 1) * self._slot_us
        if from_us is None:
            from_us = to_us - DEFAULT_SPAN_US
        if from_us >= to_us:
            raise Unprocessable("'from' must lie before 'to'", code="invalid_range")
        fineness = chosen(resolution, to_us - from_us)
        span_us = widened(fineness, from_us, to_us, self.zone)
        return Asked(sensor_id, fineness.name, *span_us, _known(quantities))

    def slot(self) -> int:
        """The number of the current slot."""
        return self._clock.now_us() // self._slot_us

    def settled_us(self) -> int:
        """What is younger changes with every flush."""
        return self.slot() * self._slot_us - SETTLES_US

    def head(self, asked: Asked) -> tuple[str, str, str, str, str]:
        """What an answer begins with."""
        span = (to_rfc3339(asked.from_us), to_rfc3339(asked.to_us))
        return asked.sensor_id, asked.resolution, *span, self.zone.key


class History:
    """Read by any number of threads; `follow` is called when memory has what was stored."""

    def __init__(
        self,
        store: Store,
        hours: Hours,
        recent: Recent,
        engine: Engine,
        standard: aqi.Standard,
        clock: Clock,
        time_zone: str,
        slot_s: float,
    ) -> None:
        self._store = store
        self._hours = hours
        self._recent = recent
        self._engine = engine
        self._standard = standard
        self._terms = Terms(clock, time_zone, slot_s)
        self.asked = self._terms.asked
        self.follow()

    def follow(self) -> None:
        """Let revisions name the files there are now.

        Not while memory lacks what is in them: an answer made then would be kept under their names.
        """
        self._files = [*self._store.files, *self._hours.store.files]

    def is_settled(self, asked: Asked) -> bool:
        """Whether a span ends before what changes with every flush."""
        return asked.to_us <= self._terms.settled_us()

    def revision(self, asked: Asked) -> tuple[str, int]:
        """What tells apart the answers to one question, also after a restart.

        The names of the files that reach into the settled part of its span, and the number of the
        current slot when there is a part that is not.
        """
        until_us = min(asked.to_us, self._terms.settled_us())
        names = sorted(file.path for file in self._files if _meets(file, asked.from_us, until_us))
        digest = hashlib.blake2b("\n".join(names).encode(), digest_size=16).hexdigest()
        return digest, 0 if self.is_settled(asked) else self._terms.slot()

    def read(self, asked: Asked) -> Readings | Buckets:
        """Answer it.

        Raises:
            StorageUnavailable: a file could not be read.
        """
        head = self._terms.head(asked)
        if asked.resolution == RAW.name:
            found = self._of_rows("history_readings", asked, {"limit": MAX_READINGS + 1})
            return Readings(*head, **reading_fields(asked, found))
        if asked.resolution == MINUTES.name:
            table = self._of_rows("history_minutes", asked, {"bucket_us": FIVE_MINUTES_US})
        else:
            table = self._of_hours(asked)
        return Buckets(*head, **bucket_fields(asked, table))

    def _of_hours(self, asked: Asked) -> Table:
        """Buckets of an hour or of a day."""
        hours = hours_within(asked.from_us, asked.to_us)
        is_daily = asked.resolution == DAILY.name
        at_us = days_of(hours, self._terms.zone) if is_daily else np.array(hours) * HOUR_US
        text = statement("history_hours").replace("{quantities}", "|".join(asked.names))

        def work(cursor: duckdb.DuckDBPyConnection) -> Table:
            cursor.register("buckets", {"hour": np.array(hours), "at_us": at_us})
            return dict(cursor.execute(text, {"sensor_id": asked.sensor_id}).fetchnumpy())

        return self._hours.read(hours, work) or no_rows(asked)

    def _of_rows(self, name: str, asked: Asked, parameters: dict[str, Any]) -> Table:
        """Run a statement over the readings of a span: each from memory or from a file, once."""
        batch, horizon_us = self._recent.of_sensor(asked.sensor_id, asked.from_us, asked.to_us)
        batch.columns["aqi_value"] = aqi.grade(self._standard, batch.columns).overall
        until_us = min(asked.to_us, horizon_us)

        def work(cursor: duckdb.DuckDBPyConnection, paths: list[str]) -> Table:
            rows, bound = _rows(cursor, asked, batch, paths, until_us)
            if not rows:
                return no_rows(asked)
            text = statement(name).replace("{rows}", rows)
            text = text.replace("{quantities}", "|".join(asked.names))
            text = text.replace("{names}", ", ".join(asked.names))
            return dict(cursor.execute(text, parameters | bound).fetchnumpy())

        return read_intact(
            self._store, self._engine, lambda file: _meets(file, asked.from_us, until_us), work
        )


def _rows(
    cursor: duckdb.DuckDBPyConnection,
    asked: Asked,
    batch: Batch,
    paths: list[str],
    until_us: int,
) -> tuple[str, dict[str, Any]]:
    """The SQL of all rows, those before `until_us` from files, and its parameters; "" if none."""
    parts: list[str] = []
    bound: dict[str, Any] = {}
    if paths:
        parts.append(statement("history_stored"))
        span = {"from_us": asked.from_us, "until_us": until_us}
        bound |= {"files": paths, "sensor_id": asked.sensor_id, **span}
    if len(batch):
        cursor.register("held", batch.columns)
        parts.append(statement("history_held"))
        bound["flag_labels"] = _LABELS
    return " UNION ALL BY NAME ".join(parts), bound


def reading_fields(asked: Asked, table: Table) -> dict[str, Any]:
    """The fields of an answer in readings: up to one more than are shown, by their time."""
    at_us = table["timestamp_us"]
    is_truncated = len(at_us) > MAX_READINGS
    values = {name: table[name][:MAX_READINGS].tolist() for name in asked.names}
    return {
        "at": all_to_rfc3339(at_us[:MAX_READINGS]),
        "flags": [split_flags(label) for label in table["flags"][:MAX_READINGS].tolist()],
        "series": {
            name: Values(UNITS[name], column)
            for name, column in values.items()
            if asked.shows(name, any(value is not None for value in column))
        },
        "truncated": is_truncated,
        "next_from": to_rfc3339(int(at_us[-1])) if is_truncated else None,
    }


def bucket_fields(asked: Asked, table: Table) -> dict[str, Any]:
    """The fields of an answer in buckets, without those that nothing is said of."""
    number = {name: table[f"{name}_count"] + table[f"{name}_flagged"] for name in asked.names}
    is_listed = np.logical_or.reduce([column > 0 for column in number.values()])
    listed = {name: column[is_listed] for name, column in table.items()}
    return {
        "at": all_to_rfc3339(listed["at_us"]),
        "series": {
            name: _series(listed, name)
            for name in asked.names
            if asked.shows(name, bool(number[name].any()))
        },
    }


def _series(table: Table, name: str) -> Series:
    count, total, low, high, flagged = (table[f"{name}_{part}"] for part in _PARTS)
    is_there = count > 0
    avg = total / (np.maximum(count, 1) * SCALE)
    return Series(
        UNITS[name],
        count.tolist(),
        _or_none(avg, is_there),
        _or_none(low / SCALE, is_there),
        _or_none(high / SCALE, is_there),
        flagged.tolist(),
    )


def _or_none(column: npt.NDArray[Any], is_there: npt.NDArray[np.bool_]) -> list[float | None]:
    return [
        value if there else None
        for value, there in zip(column.tolist(), is_there.tolist(), strict=True)
    ]


def no_rows(asked: Asked) -> Table:
    """The columns of any statement here, without a row."""
    parts = (f"{name}_{part}" for name in asked.names for part in _PARTS)
    columns = ("at_us", "timestamp_us", "flags", *asked.names, *parts)
    return {name: np.empty(0, np.int64) for name in columns}


def _known(quantities: Collection[str] | None) -> tuple[str, ...]:
    """Quantities in the order of their table, each once; none when none are named.

    Raises:
        Unprocessable: there is none of a name.
    """
    asked = set(quantities or ())
    unknown = sorted(asked - UNITS.keys())
    if unknown:
        raise Unprocessable(
            f"'quantity' is one or some of {', '.join(UNITS)}; not '{unknown[0][:40]}'",
            code="unknown_quantity",
        )
    return tuple(name for name in UNITS if name in asked)


def _meets(file: File, from_us: int, until_us: int) -> bool:
    return file.min_at_us < until_us and file.max_at_us >= from_us
