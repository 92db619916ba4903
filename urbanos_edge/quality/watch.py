"""Flags that need what a sensor said before, or what others say: stuck, spike, neighbours.

A watch sees the batches that are stored, one after the other, and keeps of each sensor its last
values and its place. What is older than what it knows of a sensor does not change that; it is
compared with what comes in the same batch only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from urbanos_edge.batch import Batch, as_said
from urbanos_edge.clock import HOUR_US
from urbanos_edge.quality.course import NEVER_US, Followed, Outliers, Stretch, follow, nothing_known
from urbanos_edge.quality.neighbourhood import NOBODY, Neighbourhood, Sightings, consensus
from urbanos_edge.quality.quality import PARTICLES, Mask, Rows, bits, is_credible
from urbanos_edge.reading import QUANTITIES, Quantity, Timing

MAX_SENSORS: Final = 50_000
"""Beyond it those that were silent longest are forgotten."""
OF_ITS_COURSE: Final = ("stuck", "spike")
"""What a sensor's own values before show."""
FOUND: Final = (*OF_ITS_COURSE, "neighbours")
FEWEST_NEIGHBOURS: Final = 3
APART_UGM3: Final = {"pm25": 30.0, "pm10": 100.0}
"""How far neighbours may be apart in any case. AirGradient has 30 for PM2.5 and compares nothing
else; coarse dust differs more from street to street."""
APART_SHARE: Final = 0.5
"""Of what the neighbours agree on, in any case: in a haze good stations differ by far more than in
clean air."""
SPREADS: Final = 2.0
NEARBY_M: Final = 1000.0
"""A reading from further off than that from where its sensor is now has other neighbours."""
_KEPT_SHARE: Final = 15 / 16
"""Of the most, when some are forgotten, so that it is not at every flush."""
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Table = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _News:
    """What a batch tells of a quantity: the columns of what is known of these sensors now."""

    quantity: str
    sensors: Ints
    known: Table


@dataclass(frozen=True, slots=True)
class Findings:
    """The flags of a batch, of shape (n,), and what is to be remembered once it is stored."""

    flags: Mask
    news: list[_News]


@dataclass(frozen=True, slots=True)
class _Values:
    """The credible values of one quantity in a batch: their rows, by sensor and time."""

    quantity: Quantity
    rows: npt.NDArray[np.intp]
    sensor: Ints
    at_us: Ints
    values: Floats
    said: Floats
    """What they were before corrections."""

    def take(self, chosen: npt.NDArray[np.intp]) -> Stretch:
        if len(chosen) == len(self.rows):
            return Stretch(self.sensor, self.at_us, self.values, self.said)
        values, said = self.values[chosen], self.said[chosen]
        return Stretch(self.sensor[chosen], self.at_us[chosen], values, said)

    def firsts(self) -> Rows:
        """Where the values of a sensor begin."""
        return Stretch(self.sensor, self.at_us, self.values, self.said).firsts()

    def last_of_hour(self) -> npt.NDArray[np.intp]:
        """For each value, which is its sensor's last in the same hour."""
        hour = self.at_us // HOUR_US
        is_last = np.append(self.firsts()[1:] | (hour[1:] != hour[:-1]), True)
        last = np.flatnonzero(is_last)
        return np.repeat(last, np.diff(last, prepend=-1))

    def must_change(self, chosen: npt.NDArray[np.intp]) -> Rows:
        """Which values do not stay the same for a day in nature."""
        may_stay = self.quantity.may_stay
        if may_stay is None:
            return np.ones(len(chosen), bool)
        low, high = may_stay
        must: Rows = (self.said[chosen] < low) | (self.said[chosen] > high)
        return must


class Watch:
    """Used by one thread at a time. `radius_m` is how far neighbours are away at most."""

    def __init__(self, radius_m: float, max_sensors: int = MAX_SENSORS) -> None:
        self._max_sensors = max_sensors
        self._number_of: dict[str, int] = {}
        self._heard_us: Ints = np.empty(0, np.int64)
        self._neighbourhood = Neighbourhood(radius_m)
        self._known = {
            quantity.name: nothing_known(0, of_particles=quantity.kind == "particles")
            for quantity in QUANTITIES
        }

    def __len__(self) -> int:
        return len(self._number_of)

    def judge(self, batch: Batch) -> Findings:
        """Find the flags of a batch with distinct identities that lies by sensor and time.

        Apart from where new sensors stand nothing is remembered, so that a batch that could not be
        stored can be judged again.
        """
        if not len(batch):
            return Findings(np.empty(0, np.uint8), [])
        sensor = self._meet(batch)[batch["sensor"]]
        nothing = np.zeros(len(batch), bool)
        flagged: dict[str, Rows] = {name: nothing.copy() for name in FOUND}
        news: list[_News] = []
        for values in _credible(batch, sensor):
            for chosen, followed in self._followed(values, news):
                rows = values.rows[chosen]
                is_stuck = followed.unchanged & values.must_change(chosen)
                flagged["stuck"][rows[is_stuck]] = True
                if followed.outliers is not None and len(followed.outliers.rows):
                    found = self._unconfirmed(values, chosen, followed.outliers)
                    flagged["spike"][rows[followed.outliers.rows[found]]] = True
            if values.quantity.name in APART_UGM3:
                flagged["neighbours"][values.rows] |= self._disagreeing(batch, values)
        return Findings(bits(flagged), news)

    def take(self, findings: Findings) -> None:
        """Remember what a batch told, which is stored now."""
        for news in findings.news:
            known = self._known[news.quantity]
            for name, column in news.known.items():
                known[name][news.sensors] = column
            heard_us = np.maximum(self._heard_us[news.sensors], news.known["at_us"])
            self._heard_us[news.sensors] = heard_us
        if len(self) > self._max_sensors:
            self._forget_silent()

    def _meet(self, batch: Batch) -> Ints:
        """The number of each label that is a sensor's; new ones get one, and all their place."""
        labels = batch["sensor"]
        last = np.flatnonzero(np.append(labels[1:] != labels[:-1], True))
        numbers = np.full(len(batch.labels), NOBODY)
        for label in labels[last].tolist():
            name = batch.labels[label]
            numbers[label] = self._number_of.setdefault(name, len(self._number_of))
        self._grow(len(self._number_of))
        sensors = numbers[labels[last]]
        last = last[batch["timestamp_us"][last] >= self._heard_us[sensors]]
        places = {name: batch[name][last] for name in ("lat", "lng", "x18", "y18")}
        self._neighbourhood.place(numbers[labels[last]], places)
        return numbers

    def _grow(self, count: int) -> None:
        more = count - len(self._heard_us)
        if more <= 0:
            return
        self._heard_us = np.append(self._heard_us, np.full(more, NEVER_US))
        self._neighbourhood.grow(count)
        for name, known in self._known.items():
            fresh = nothing_known(more, of_particles=name in PARTICLES)
            for column in known:
                known[column] = np.concatenate([known[column], fresh[column]])

    def _forget_silent(self) -> None:
        """Keep those that were heard last."""
        count = int(self._max_sensors * _KEPT_SHARE)
        kept = np.sort(np.argsort(self._heard_us, kind="stable")[-count:])
        names = list(self._number_of)
        self._number_of = {names[old]: new for new, old in enumerate(kept.tolist())}
        self._heard_us = self._heard_us[kept]
        self._neighbourhood.keep(kept)
        for known in self._known.values():
            for column in known:
                known[column] = known[column][kept]

    def _followed(
        self, values: _Values, news: list[_News]
    ) -> Iterator[tuple[npt.NDArray[np.intp], Followed]]:
        """Values newer than what is known, which become news; and late ones among themselves."""
        known = self._known[values.quantity.name]
        is_late = values.at_us <= known["at_us"][values.sensor]
        timely, late = np.flatnonzero(~is_late), np.flatnonzero(is_late)
        if len(timely):
            followed = follow(values.take(timely), known)
            news.append(_News(values.quantity.name, followed.sensors, followed.known))
            yield timely, followed
        if len(late):
            nothing = nothing_known(len(self), of_particles="held" in known)
            yield late, follow(values.take(late), nothing)

    def _unconfirmed(
        self, values: _Values, chosen: npt.NDArray[np.intp], outliers: Outliers
    ) -> Rows:
        """Which outliers nobody near confirms, by being at least half-way there.

        Where nobody is near, the second in a row on the same side confirms itself: what is gone at
        the next reading was a spike, and what is still there was none.
        """
        rows = chosen[outliers.rows]
        lists = self._neighbourhood.lists[values.sensor[rows]]
        said = self._sightings(values).near(lists, values.at_us[rows])
        half_way = (outliers.median + values.values[rows]) / 2
        is_there = ~np.isnan(said)
        beyond = (said - half_way[:, None]) * outliers.side[:, None] >= 0
        confirmed = (is_there & beyond).any(axis=1)
        return np.where(is_there.any(axis=1), ~confirmed, ~outliers.goes_on)

    def _disagreeing(self, batch: Batch, values: _Values) -> Rows:
        """Which values are far from what their sensor's neighbours agree on in that hour."""
        disagreeing = np.zeros(len(values.rows), bool)
        suspects = np.flatnonzero(self._may_disagree(values))
        rows, sensor = values.rows[suspects], values.sensor[suspects]
        distance_m = self._neighbourhood.distance_m(sensor, batch["lat"][rows], batch["lng"][rows])
        suspects = suspects[distance_m <= NEARBY_M]
        if not len(suspects):
            return disagreeing
        last, group = np.unique(values.last_of_hour()[suspects], return_inverse=True)
        lists = self._neighbourhood.lists[values.sensor[last]]
        agreed = consensus(self._sightings(values).near(lists, values.at_us[last]))
        least_ugm3 = np.maximum(APART_UGM3[values.quantity.name], APART_SHARE * agreed.median)
        apart_ugm3 = np.maximum(least_ugm3, SPREADS * agreed.spread)
        apart_ugm3[agreed.count < FEWEST_NEIGHBOURS] = np.inf
        distance_ugm3 = np.abs(values.values[suspects] - agreed.median[group])
        disagreeing[suspects] = distance_ugm3 > apart_ugm3[group]
        return disagreeing

    def _may_disagree(self, values: _Values) -> Rows:
        """Which values could be far from what neighbours agree on, by all that these said.

        Of three or more the median is never below the second lowest, nor above the second highest.
        """
        known = self._known[values.quantity.name]
        is_known = known["at_us"] > NEVER_US
        low = np.where(is_known, known["value"], np.inf)
        high = np.where(is_known, known["value"], -np.inf)
        first = np.flatnonzero(values.firsts())
        met = values.sensor[first]
        low[met] = np.minimum(low[met], np.minimum.reduceat(values.values, first))
        high[met] = np.maximum(high[met], np.maximum.reduceat(values.values, first))
        lists = self._neighbourhood.lists[met]
        second_low = np.partition(np.append(low, np.inf)[lists], 1, axis=1)[:, 1]
        second_high = np.partition(np.append(high, -np.inf)[lists], -2, axis=1)[:, -2]
        apart_ugm3 = APART_UGM3[values.quantity.name]
        counts = np.diff(np.append(first, len(values.sensor)))
        may: Rows = (values.values > np.repeat(second_low + apart_ugm3, counts)) | (
            values.values < np.repeat(second_high - apart_ugm3, counts)
        )
        return may

    def _sightings(self, values: _Values) -> Sightings:
        """What everybody said of a quantity, in this batch and last before it."""
        is_first = values.firsts()
        number = np.cumsum(is_first) - 1
        met = values.sensor[is_first]
        others = np.ones(len(self), bool)
        others[met] = False
        number_of = np.empty(len(self), np.int64)
        number_of[met] = np.arange(len(met))
        number_of[others] = len(met) + np.arange(len(self) - len(met))
        known = self._known[values.quantity.name]
        return Sightings(number_of, number, values.at_us, values.values, known)


def _credible(batch: Batch, sensor: Ints) -> Iterator[_Values]:
    """The credible values of each quantity, where the clock can be believed.

    A flag is for a whole reading, and a dead thermometer must not take a good dust sensor off the
    map: weather is looked at only in readings of nothing else. Particles that the two channels of
    a monitor disagree about are those of neither.
    """
    is_timed = batch["timing"] != Timing.NODE_IN_DOUBT
    measured = [quantity.name for quantity in QUANTITIES if quantity.kind != "weather"]
    is_weather = np.logical_and.reduce([np.isnan(batch[name]) for name in measured]) & is_timed
    for quantity in QUANTITIES:
        column, said = batch[quantity.name], as_said(batch.columns, quantity.name)
        is_wanted = is_weather if quantity.kind == "weather" else is_timed
        if quantity.kind == "particles":
            is_wanted = is_wanted & ~batch["channels_disagree"]
        is_wanted = is_wanted & is_credible(quantity, said)
        if said is not column:
            is_wanted &= is_credible(quantity, column)
        rows = np.flatnonzero(is_wanted)
        if len(rows):
            values = column[rows]
            said = values if said is column else said[rows]
            yield _Values(quantity, rows, sensor[rows], batch["timestamp_us"][rows], values, said)
