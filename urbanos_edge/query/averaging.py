"""What the last hours of a sensor come to: the averages that an index is defined over.

They are made of the means of whole hours, unflagged readings only, so the current hour has no part
in them. An hour counts as soon as there is one reading in it: how often a sensor should have
reported nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge import aqi
from urbanos_edge.aqi.averages import COMPLETE, NOWCAST_HOURS, NOWCAST_LATEST, NOWCAST_NEEDED
from urbanos_edge.aqi.standard import Period
from urbanos_edge.clock import HOUR_US, SECOND_US, Clock, all_to_rfc3339, to_rfc3339
from urbanos_edge.query.history import UNITS, Asked, Buckets, History, Series
from urbanos_edge.query.resolution import HOURLY, MINUTES
from urbanos_edge.reading import QUANTITIES

HOURS: Final = 24
AVERAGED: Final = tuple(one.name for one in QUANTITIES if one.kind != "weather")
_QUARTER_US: Final = 900 * SECOND_US
_DAY: Final[tuple[Period, ...]] = ("24h running", "24h")
_HOURS_OF: Final[Mapping[Period, int]] = {
    "1h": 1,
    "8h running": 8,
    "24h running": HOURS,
    "24h": HOURS,
    "NowCast": NOWCAST_HOURS,
}

Hourly = npt.NDArray[np.float64]


class Hour(msgspec.Struct, frozen=True):
    """One whole hour: the mean of its unflagged readings, and how many there were of both kinds."""

    at: str
    mean: float | None
    count: int
    flagged: int


class Average(msgspec.Struct, frozen=True):
    """What the newest `hours` come to, of which `needed` must be there and `present` are.

    `weights` are those of these hours, the newest first, 0 where one is missing; all alike when
    there are none. `is_of_index` says whether the standard's index of now is defined over it, and
    `workings` how it comes to `index` then.
    """

    over: Period
    value: float | None
    hours: int
    present: int
    needed: int
    weights: list[float] | None
    formula: str
    is_of_index: bool
    index: int | None
    workings: list[aqi.Working]


class Averaged(msgspec.Struct, frozen=True):
    """One quantity: its last 24 whole hours, the newest first, and what they come to."""

    unit: str
    hours: list[Hour]
    averages: list[Average]

    def over(self, *periods: Period) -> Average | None:
        """The average over the first of these periods that there is."""
        return next((one for one in self.averages if one.over in periods), None)


class Brief(msgspec.Struct, frozen=True):
    """Averages without how they came about; the means by quantity, null where hours are missing."""

    until: str
    aqi_value: int | None
    level: int | None
    dominant: str | None
    nowcast_aqi: int | None
    nowcast: dict[str, float | None]
    mean_24h: dict[str, float | None]


class Averages(msgspec.Struct, frozen=True):
    """All that was measured in the 24 whole hours before `until`.

    `nowcast_aqi` is the highest index of a NowCast, null where the standard has none; `overall` the
    index by all the averages that the standard defines it over.
    """

    until: str
    nowcast_aqi: int | None
    overall: aqi.Overall
    quantities: dict[str, Averaged]

    def brief(self) -> Brief:
        return Brief(
            self.until,
            self.overall.aqi_value,
            self.overall.level,
            self.overall.dominant,
            self.nowcast_aqi,
            self._over("NowCast"),
            self._over(*_DAY),
        )

    def _over(self, *periods: Period) -> dict[str, float | None]:
        found = {name: one.over(*periods) for name, one in self.quantities.items()}
        return {name: one.value for name, one in found.items() if one is not None}


class Averaging:
    """Read by any number of threads."""

    def __init__(self, history: History, standard: aqi.Standard, clock: Clock) -> None:
        self._history = history
        self._standard = standard
        self._clock = clock

    def until_us(self, at_us: int | None = None) -> int:
        """Where the last whole hour ends before a moment, or before now when that is earlier."""
        now_us = self._clock.now_us()
        return (now_us if at_us is None else min(at_us, now_us)) // HOUR_US * HOUR_US

    def of(self, sensor_id: str, until_us: int) -> Averages:
        """The averages of a sensor as of the end of an hour.

        Raises:
            StorageUnavailable: a file could not be read.
        """
        from_us = until_us - HOURS * HOUR_US
        found = self._buckets(Asked(sensor_id, HOURLY.name, from_us, until_us, AVERAGED))
        ends_us = until_us - HOUR_US * np.arange(1, HOURS + 1)
        hours = {
            name: _hours(all_to_rfc3339(ends_us), found.at, series)
            for name, series in found.series.items()
            if any(series.count) or any(series.flagged)
        }
        quantities = {
            name: Averaged(UNITS[name], listed, self._averages(sensor_id, name, listed, until_us))
            for name, listed in hours.items()
        }
        return Averages(
            to_rfc3339(until_us),
            max(_indexes(quantities, ("NowCast",)).values(), default=None),
            aqi.highest_of(self._standard, _indexes(quantities)),
            quantities,
        )

    def _buckets(self, asked: Asked) -> Buckets:
        found = self._history.read(asked)
        assert isinstance(found, Buckets)
        return found

    def _averages(
        self, sensor_id: str, name: str, hours: Sequence[Hour], until_us: int
    ) -> list[Average]:
        of_index = self._standard.current_periods(name)
        periods = dict.fromkeys(of_index)
        if not periods.keys() & set(_DAY):
            periods["24h running"] = None
        hourly = np.array([np.nan if hour.mean is None else hour.mean for hour in hours])
        return [
            self._graded(
                name,
                self._quarter(sensor_id, name, until_us)
                if period == "15min"
                else average(period, hourly[: _HOURS_OF[period]]),
                of_index,
            )
            for period in periods
        ]

    def _graded(self, name: str, given: Average, of_index: Sequence[Period]) -> Average:
        """The average with its index, where the standard defines one over it."""
        if given.over not in of_index:
            return given
        scales = self._standard.scales[name]
        value = given.value
        workings = [
            aqi.working(scale, value)
            for scale in scales
            if value is not None and (scale.current or scale.period) == given.over
        ]
        index = max((one.index for one in workings if one.index is not None), default=None)
        return msgspec.structs.replace(given, is_of_index=True, index=index, workings=workings)

    def _quarter(self, sensor_id: str, name: str, until_us: int) -> Average:
        """The last quarter of the last whole hour, from its readings."""
        span_us = (until_us - _QUARTER_US, until_us)
        series = self._buckets(Asked(sensor_id, MINUTES.name, *span_us, (name,))).series[name]
        count = sum(series.count)
        parts = zip(series.avg, series.count, strict=True)
        total = sum(mean * number for mean, number in parts if mean is not None)
        value = total / count if count else None
        formula = f"the mean of the {count} readings of the last quarter of that hour"
        return _ungraded("15min", value, (1, min(count, 1), 1), None, formula)


def average(period: Period, hourly: Hourly) -> Average:
    """What hourly means, the newest first, come to; NaN where one is missing. It has no index."""
    if period == "NowCast":
        return _nowcast(hourly)
    is_there = ~np.isnan(hourly)
    needed = int(np.ceil(COMPLETE * len(hourly)))
    counts = (len(hourly), int(is_there.sum()), needed)
    value = _or_none(aqi.complete_mean(hourly[:, np.newaxis])[0])
    if value is None:
        formula = f"{counts[1]} of {counts[0]} hours are there, {needed} are needed"
    else:
        total = aqi.plain(round(float(np.nansum(hourly)), 6))
        formula = f"{total} / {counts[1]} = {aqi.plain(round(value, 6))}: all hours by their number"
    return _ungraded(period, value, counts, None, formula)


def _nowcast(hourly: Hourly) -> Average:
    present = int((~np.isnan(hourly[:NOWCAST_LATEST])).sum())
    counts = (len(hourly), int((~np.isnan(hourly)).sum()), NOWCAST_NEEDED)
    weights = aqi.nowcast_weights(hourly[:, np.newaxis])[:, 0]
    value = _or_none(aqi.nowcast(hourly[:, np.newaxis])[0])
    if value is None:
        formula = f"{present} of the {NOWCAST_LATEST} newest hours are there, 2 are needed"
        return _ungraded("NowCast", None, counts, weights.tolist(), formula)
    total = float(np.nansum(weights * np.maximum(hourly, 0)))
    formula = (
        f"{aqi.plain(round(total, 6))} / {aqi.plain(round(float(weights.sum()), 6))}"
        f" = {aqi.plain(round(value, 6))}: all hours times their weights by the sum of these"
    )
    return _ungraded("NowCast", value, counts, weights.tolist(), formula)


def _ungraded(
    over: Period,
    value: float | None,
    counts: tuple[int, int, int],
    weights: list[float] | None,
    formula: str,
) -> Average:
    return Average(
        over, value, *counts, weights, formula, is_of_index=False, index=None, workings=[]
    )


def _hours(wanted: Sequence[str], found: Sequence[str], series: Series) -> list[Hour]:
    """One hour for each wanted, whether anything was measured in it or not."""
    place = {at: number for number, at in enumerate(found)}
    return [
        Hour(at, series.avg[place[at]], series.count[place[at]], series.flagged[place[at]])
        if at in place
        else Hour(at, None, 0, 0)
        for at in wanted
    ]


def _indexes(
    quantities: Mapping[str, Averaged], over: Sequence[Period] | None = None
) -> dict[str, int]:
    """The highest index of each quantity's averages, those over some periods if any are named."""
    found = {
        name: [
            one.index
            for one in averaged.averages
            if one.index is not None and (over is None or one.over in over)
        ]
        for name, averaged in quantities.items()
    }
    return {name: max(indexes) for name, indexes in found.items() if indexes}


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
