"""Averages that indexes are defined over, from hourly means.

Columns of shape (hours, n): one row per hour, NaN where it is missing, one column per series. A
negative mean, as instruments drift to near zero, counts for NowCast as it is graded: as 0.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Hourly = npt.NDArray[np.float64]
Means = npt.NDArray[np.float64]

NOWCAST_HOURS: Final = 12
NOWCAST_LATEST: Final = 3
NOWCAST_NEEDED: Final = 2
"""So many of the latest hours must be there."""
_LEAST_WEIGHT: Final = 0.5
COMPLETE: Final = 0.75
"""Share of the hours that an average needs: 18 of 24, 6 of 8 (40 CFR 50, appendices N and U; Defra,
Update on Implementation of the Daily Air Quality Index, April 2013)."""


def nowcast(hourly: Hourly) -> Means:
    """EPA's NowCast of particles, shape (12, n), newest first; NaN without 2 of the newest 3 hours.

    EPA-454/B-24-002, 'How the NowCast is calculated'. Grading cuts it off as any concentration.
    """
    is_there = ~np.isnan(hourly)
    values = np.where(is_there, np.maximum(hourly, 0), 0)
    weights = nowcast_weights(hourly)
    enough = is_there[:NOWCAST_LATEST].sum(axis=0) >= NOWCAST_NEEDED
    return _mean((weights * values).sum(axis=0), weights.sum(axis=0), enough)


def nowcast_weights(hourly: Hourly) -> Means:
    """How much each hour counts in its NowCast, of the same shape; 0 where it is missing.

    The lowest by the highest hour, at least a half, to the power of the hours since the newest.
    """
    is_there = ~np.isnan(hourly)
    values = np.where(is_there, np.maximum(hourly, 0), 0)
    highest = values.max(axis=0)
    lowest = np.where(is_there, values, highest).min(axis=0)
    steadiness = np.divide(lowest, highest, out=np.ones_like(highest), where=highest > 0)
    hours_ago = np.arange(len(hourly))[:, np.newaxis]
    weights: Means = np.maximum(steadiness, _LEAST_WEIGHT) ** hours_ago * is_there
    return weights


def complete_mean(hourly: Hourly) -> Means:
    """The mean of all hours given, such as 24 of a day; NaN if less than 75 % of them are there."""
    present = (~np.isnan(hourly)).sum(axis=0)
    return _mean(np.nansum(hourly, axis=0), present, present >= COMPLETE * len(hourly))


def running_mean(hourly: Hourly, hours: int) -> Means:
    """The mean of each hour and those before it, oldest first; the same shape as what is given.

    NaN where less than 75 % of the hours are there; what lies before the first row is not.
    """
    before = np.full((hours - 1, *hourly.shape[1:]), np.nan)
    window = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, hourly]), hours, 0)
    return complete_mean(np.moveaxis(window, -1, 0))


def _mean(total: Means, weight: npt.NDArray[Any], enough: npt.NDArray[np.bool_]) -> Means:
    mean: Means = np.divide(total, weight, out=np.full(total.shape, np.nan), where=enough)
    return mean
