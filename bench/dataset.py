"""A region's readings, written through the node's own store code, kept and topped up.

7,000 sensors stand around thirty towns and between them. A value follows from sensor and moment
alone, so a kept data directory is brought up to the present by adding what is missing.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw
import numpy as np
import numpy.typing as npt

from urbanos_edge.batch import ROW, Batch, finest_tiles
from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US
from urbanos_edge.control import own
from urbanos_edge.ingest.sensors import Sensor
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.settings import Settings

SENSORS: Final = 7_000
TOWNS: Final = 30
CENTRE: Final = (24.94, 60.19)
SPREAD_DEG: Final = (0.9, 0.4)
"""How far towns lie from the centre, in degrees of longitude and latitude."""
TOWN_DEG: Final = (0.09, 0.045)
STRAY_SHARE: Final = 0.15
"""Sensors that stand between the towns."""
SEED: Final = 7_000
_NOT_STAGED: Final = ("lock", "control.sock", "ballast", ".tmp")
_MINUTE_US: Final = 60 * SECOND_US


@dataclass(frozen=True, slots=True)
class Shape:
    """How many sensors measure how often, for how long."""

    interval_s: int
    sensors: int = SENSORS
    days: int = 1

    @property
    def name(self) -> str:
        return f"{self.sensors}-sensors-every-{self.interval_s}-s-for-{self.days}-d"

    @property
    def readings_per_day(self) -> int:
        return self.sensors * 86_400 // self.interval_s


TEN_MILLION: Final = Shape(60)
ONE_MILLION: Final = Shape(600)
TENTH_MILLION: Final = Shape(6_000)
MONTH: Final = Shape(600, sensors=700, days=30)
"""3 million readings of thirty days."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the sensors stand: columns of shape (sensors,)."""

    ids: list[str]
    lng: npt.NDArray[np.float64]
    lat: npt.NDArray[np.float64]


def places(sensors: int = SENSORS) -> Places:
    """The same places every time; the first ones are the same for any number."""
    rng = np.random.default_rng(SEED)
    towns = rng.normal(CENTRE, SPREAD_DEG, (TOWNS, 2))
    towns[0] = CENTRE
    weight = 1 / np.arange(1, TOWNS + 1)
    home = rng.choice(TOWNS, SENSORS, p=weight / weight.sum())
    at = rng.normal(towns[home], TOWN_DEG)
    is_stray = rng.random(SENSORS) < STRAY_SHARE
    at[is_stray] = rng.normal(CENTRE, SPREAD_DEG, (int(is_stray.sum()), 2))
    at = np.round(at, 6)[:sensors]
    ids = [f"sensor-{number:04}" for number in range(sensors)]
    return Places(ids, at[:, 0].copy(), at[:, 1].copy())


def prepared(shape: Shape, folder: Path) -> Path:
    """A data directory in `folder` that reaches up to now; built or topped up as needed."""
    directory = folder / f"{shape.name}-{_schema()}"
    if directory.exists() and _is_stale(directory):
        shutil.rmtree(directory)
    for other in folder.glob(f"{shape.name}-*"):
        if other != directory:
            shutil.rmtree(other)
    with own(directory):
        _fill(shape, directory)
    (directory / "topped-up").touch()
    return directory


def staged(source: Path, target: Path) -> Path:
    """A copy for one benchmark to work on: partitions never change, so their files are linked."""
    target.mkdir(parents=True)
    for path in source.rglob("*"):
        inner = path.relative_to(source)
        if inner.parts[0] in _NOT_STAGED:
            continue
        copy = target / inner
        if path.is_dir():
            copy.mkdir(exist_ok=True)
        elif path.suffix == ".parquet":
            _link(path, copy)
        else:
            shutil.copy2(path, copy)
    return target


def _link(path: Path, copy: Path) -> None:
    try:
        os.link(path, copy)
    except OSError:  # another filesystem
        shutil.copy2(path, copy)


def _schema() -> str:
    """A change of the schema makes kept directories useless."""
    folder = Path(__file__).parents[1] / "migrations" / "edge"
    return max(path.name.split("_")[0] for path in folder.glob("*.up.sql"))


def _is_stale(directory: Path) -> bool:
    """Half built, or so old that most of it would be outside the last 24 hours."""
    mark = directory / "topped-up"
    return not mark.exists() or time.time() - mark.stat().st_mtime > 43_200


def _fill(shape: Shape, directory: Path) -> None:
    node = Node(Settings(), directory)
    try:
        columns = _standing(places(shape.sensors))
        _register(node, columns)
        for begin_us, end_us in _missing(shape, node.store.newest_at_us(), node.clock.now_us()):
            batch = _readings(shape, columns, begin_us, end_us)
            if len(batch):
                node.mover.store(batch, _settle_nothing)
        node.compactor.finish_all(ignore_progress)
        node.hours.count_all()
    finally:
        node.close()


def _settle_nothing(_: apsw.Connection) -> None:
    """These readings never were in the spool."""


def _register(node: Node, columns: dict[str, Any]) -> None:
    rows = zip(columns["ids"], columns["lat"].tolist(), columns["lng"].tolist(), strict=True)
    sensors = [Sensor(name, name, lat, lng, "api", 0) for name, lat, lng in rows]
    node.database.write_and_wait(lambda work: node.sensors.save(work, sensors))
    node.sensors.remember(sensors)


def _missing(shape: Shape, newest_us: int, now_us: int) -> Iterator[tuple[int, int]]:
    """Spans to fill: an hour at a time, and minutes in the current hour, as flushes leave it.

    Sensors that send more seldom than that fill longer spans.
    """
    hour_us = now_us - now_us % HOUR_US
    begin_us = hour_us - shape.days * DAY_US
    if newest_us > begin_us:
        begin_us = newest_us - newest_us % _MINUTE_US + _MINUTE_US
    span_us = max(HOUR_US, shape.interval_s * SECOND_US)
    while begin_us < hour_us:
        end_us = min(begin_us - begin_us % HOUR_US + span_us, hour_us)
        yield begin_us, end_us
        begin_us = end_us
    span_us = _MINUTE_US if shape.interval_s <= 60 else HOUR_US
    last_us = now_us - now_us % _MINUTE_US
    while begin_us < last_us:
        end_us = min(begin_us + span_us, last_us)
        yield begin_us, end_us
        begin_us = end_us


def _standing(spots: Places) -> dict[str, Any]:
    """What stays the same for each sensor, including the moment within the interval it sends at."""
    rng = np.random.default_rng(SEED + 1)
    x18, y18 = finest_tiles(spots.lng, spots.lat)
    count = len(spots.ids)
    return {
        "ids": spots.ids,
        "lng": spots.lng,
        "lat": spots.lat,
        "x18": x18,
        "y18": y18,
        "phase": rng.random(SENSORS)[:count],
        "level": rng.lognormal(2.2, 0.5, SENSORS)[:count],
    }


def _readings(shape: Shape, columns: dict[str, Any], begin_us: int, end_us: int) -> Batch:
    """All readings with begin ≤ timestamp < end, in the order of their arrival."""
    interval_us = shape.interval_s * SECOND_US
    phase_us = (columns["phase"] * shape.interval_s).astype(np.int64) * SECOND_US
    first = begin_us - begin_us % interval_us - interval_us
    ticks = np.arange(first, end_us, interval_us)
    at_us = (ticks[:, None] + phase_us[None, :]).ravel()
    sensor = np.tile(np.arange(len(phase_us)), len(ticks))
    inside = np.flatnonzero((at_us >= begin_us) & (at_us < end_us))
    order = inside[np.argsort(at_us[inside], kind="stable")]
    return _batch(columns, sensor[order], at_us[order])


def _batch(
    columns: dict[str, Any], sensor: npt.NDArray[np.int64], at_us: npt.NDArray[np.int64]
) -> Batch:
    count = len(sensor)
    fields = {name: np.full(count, np.nan) for name in ROW.names or ()}
    labels = [*columns["ids"], "api", "air"]
    fields |= {
        "timestamp_us": at_us,
        "received_us": at_us + SECOND_US,
        **{name: columns[name][sensor] for name in ("lng", "lat", "x18", "y18")},
        "sensor": sensor,
        "source": np.full(count, len(labels) - 2),
        "pollution_type": np.full(count, len(labels) - 1),
        "timing": np.zeros(count, np.uint8),
        "channels_disagree": np.zeros(count, bool),
        **_values(columns["level"][sensor], sensor, at_us),
    }
    return Batch(labels, fields)


def _values(
    level: npt.NDArray[np.float64], sensor: npt.NDArray[np.int64], at_us: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Five quantities with the decimals that sensors send: a daily course, and noise."""
    course = np.sin(at_us / DAY_US * 2 * np.pi)
    noise = [_noise(sensor, at_us, salt) for salt in range(5)]
    pm25 = level * (1 + 0.4 * course + 0.3 * noise[0])
    return {
        "pm25": np.round(pm25, 1),
        "pm10": np.round(pm25 * 1.6 + 3 * np.abs(noise[1]), 1),
        "no2": np.round(14 + 6 * course + 4 * noise[2], 1),
        "temperature": np.round(5 - 4 * course + noise[3], 1),
        "humidity": np.round(75 + 12 * course + 5 * noise[4], 0),
    }


def _noise(sensor: npt.NDArray[Any], at_us: npt.NDArray[Any], salt: int) -> npt.NDArray[Any]:
    """Numbers from -1 to 1 that follow from their place alone (the finalizer of SplitMix64)."""
    mixed = sensor.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= (at_us // SECOND_US).astype(np.uint64) + np.uint64(salt << 40)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed.astype(np.float64) / 2**63 - 1


def busy_tiles(zoom: int, sensors: int = SENSORS) -> Sequence[tuple[int, int, int]]:
    """The tiles (column, row, how many sensors) in which any stand, the fullest first."""
    spots = places(sensors)
    x18, y18 = finest_tiles(spots.lng, spots.lat)
    shift = 18 - zoom
    tiles, counts = np.unique(np.stack([x18 >> shift, y18 >> shift]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(tiles[0, i]), int(tiles[1, i]), int(counts[i])) for i in order]
