"""Other views that a map can show: of one pollutant, or of an hour that is over.

They have the spots of a view, and nothing else of it that may be looked at.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from urbanos_edge import aqi
from urbanos_edge.clock import HOUR_US
from urbanos_edge.rollup.rollup import View, sensor_spots, site_spots
from urbanos_edge.rollup.window import Ints, Table, rows_of

MAX_KEPT: Final = 8
"""Views that are kept; one of 7,000 sensors takes a megabyte."""

During = Callable[[int], Table]
"""Gives what sites measured in an hour since 1970."""


class Layers:
    """Made when asked for, kept while the view they were made of is the current one.

    Used in worker threads: two may make the same one, which costs time and nothing else.
    """

    def __init__(self, standard: aqi.Standard, during: During) -> None:
        self._standard = standard
        self._during = during
        self._kept: OrderedDict[str | int, tuple[View, View]] = OrderedDict()

    def of(self, view: View, layer: str | int) -> View:
        """The view of a pollutant, by its name, or of an hour, by its number since 1970."""
        kept = self._kept.get(layer)
        if kept is not None and kept[0] is view:
            return kept[1]
        if isinstance(layer, str):
            made = of_pollutant(view, layer, self._standard)
        else:
            made = of_hour(view, layer, self._during(layer), self._standard)
        self._kept[layer] = view, made
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return made


def of_pollutant(view: View, pollutant: str, standard: aqi.Standard) -> View:
    """The same sensors with the index of one pollutant in place of the overall one.

    Clusters know only the latest readings of it: sums over 24 hours are kept of the overall index.
    """
    index = view.latest[f"{pollutant}_aqi"]
    dominant = np.full(len(index), standard.pollutants.index(pollutant))
    columns = rows_of(
        {**view.latest.columns, **_graded(index, standard), "dominant": dominant},
        (index != aqi.NO_INDEX) & (view.latest["timestamp_us"] >= view.since_us),
    )
    return _seen(view, columns, columns["flags"] == 0, view.current_since_us)


def of_hour(view: View, hour: int, sites: Table, standard: aqi.Standard) -> View:
    """Where sensors measured in an hour, each with the mean index of its unflagged readings."""
    found = rows_of(sites, sites["graded"] > 0)
    count = found["graded"]
    index = (2 * found["aqi_sum"] + count) // (2 * count)
    columns = {
        **found,
        **{name: view.latest[name][found["sensor"]] for name in ("sensor", "source")},
        **_graded(index, standard),
        "dominant": np.full(len(index), -1),
        "flags": np.zeros(len(index), np.int64),
        "timestamp_us": np.full(len(index), hour * HOUR_US),
    }
    return _seen(view, columns, np.ones(len(index), np.bool_), 0)


def _graded(index: Ints, standard: aqi.Standard) -> Table:
    beyond = len(standard.levels) - 2
    return {"aqi_value": index, "level": standard.levels[np.minimum(index, beyond)]}


def _seen(view: View, columns: Table, is_trusted: Ints, current_since_us: int) -> View:
    """The view with the spots of these columns, each row a site of its own."""
    index = columns["aqi_value"]
    trusted = is_trusted.astype(np.int64)
    sites = {**columns, "readings": trusted, "graded": trusted, "aqi_sum": index, "aqi_max": index}
    sensors = sensor_spots(columns, 0, current_since_us)
    return replace(view, sensor_spots=sensors, site_spots=site_spots(sites))
