"""Two sensors side by side: the straight line that makes one say what the other does."""

from __future__ import annotations

from typing import Final

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.engine import Engine, statement
from urbanos_edge.errors import Unprocessable
from urbanos_edge.store.damage import read_intact
from urbanos_edge.store.store import Store

FEWEST_HOURS: Final = 48
"""Two days: less has not seen a night and a day of both kinds of weather."""
SMALLEST_SPREAD: Final = 1e-6
"""Of hourly means, as a share of their size: below that a sensor said one thing all the time."""

Floats = npt.NDArray[np.float64]


class Pair(msgspec.Struct, frozen=True):
    """Which sensor is compared with which, in what, and when: from ≤ moment < until."""

    sensor_id: str
    reference_id: str
    quantity: str
    from_us: int
    until_us: int


class Fit(msgspec.Struct, frozen=True):
    """The line by ordinary least squares over hourly means: reference = gain × sensor + shift.

    `r_squared` is the square of their correlation; the errors (root of the mean square) are those
    of the sensor against the reference, in the quantity's unit, as it said and by the line.
    `incomplete` hours were left out.
    """

    hours: int
    incomplete: int
    gain: float
    shift: float
    r_squared: float
    rmse_before: float
    rmse_after: float


def colocated(store: Store, engine: Engine, pair: Pair) -> Fit:
    """Fit a sensor, as it said, to a reference, as it is shown.

    Raises:
        Unprocessable: they are the same, or say too little together.
        StorageUnavailable: a file could not be read.
    """
    if pair.sensor_id == pair.reference_id:
        raise Unprocessable("a sensor is not its own reference", code="same_sensor")

    def work(
        cursor: duckdb.DuckDBPyConnection, paths: list[str]
    ) -> dict[str, npt.NDArray[np.float64]]:
        names = {n: getattr(pair, n) for n in ("sensor_id", "reference_id", "from_us", "until_us")}
        text = statement("colocated_hours").replace("{measured}", pair.quantity)
        return dict(cursor.execute(text, {"files": paths, **names}).fetchnumpy()) if paths else {}

    found = read_intact(
        store,
        engine,
        lambda file: file.min_at_us < pair.until_us and file.max_at_us >= pair.from_us,
        work,
    )
    complete = np.asarray(found.get("is_complete", []), bool)
    said, true_value = (np.asarray(found.get(n, []))[complete] for n in ("said", "true_value"))
    return fitted(said, true_value, int((~complete).sum()))


def fitted(said: Floats, true_value: Floats, incomplete: int = 0) -> Fit:
    """The line through hourly means side by side, each of shape (n,).

    Raises:
        Unprocessable: fewer than `FEWEST_HOURS`, or one of them did not change.
    """
    if len(said) < FEWEST_HOURS:
        raise Unprocessable(
            f"they have {len(said)} complete hours in common, {incomplete} more are incomplete;"
            f" a fit takes {FEWEST_HOURS}",
            code="too_few_hours",
        )
    for name, values in (("the sensor", said), ("the reference", true_value)):
        if np.ptp(values) <= SMALLEST_SPREAD * np.abs(values).max():
            raise Unprocessable(f"{name} said the same in every hour; no line", code="no_spread")
    away, true_away = said - said.mean(), true_value - true_value.mean()
    together = float(away @ true_away)
    gain = together / float(away @ away)
    shift = float(true_value.mean() - gain * said.mean())
    return Fit(
        len(said),
        incomplete,
        gain,
        shift,
        together**2 / (float(away @ away) * float(true_away @ true_away)),
        _rmse(said - true_value),
        _rmse(gain * said + shift - true_value),
    )


def _rmse(errors: Floats) -> float:
    return float(np.sqrt(np.mean(errors**2)))
