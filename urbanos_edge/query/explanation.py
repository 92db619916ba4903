"""Why a number is what it is: from what the sensor said to the index, each step with its numbers.

Every figure can be computed again from those before it. `docs/numbers.md` says what they mean.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, Literal

import msgspec

from urbanos_edge import aqi
from urbanos_edge.batch import CORRECTION, RAW_NAMES
from urbanos_edge.clock import HOUR_US, SECOND_US, to_rfc3339
from urbanos_edge.errors import NotFound, Unprocessable
from urbanos_edge.quality.corrections import Corrections
from urbanos_edge.query.averaging import HOURS, Averages, Averaging
from urbanos_edge.query.history import INDEX, UNITS, Asked, History
from urbanos_edge.query.resolution import HOURLY
from urbanos_edge.query.rows import split_flags
from urbanos_edge.query.shown import Row, Shown
from urbanos_edge.reading import QUANTITIES, reading_id
from urbanos_edge.rollup.rollup import View

REACHES_BACK_US: Final = (HOURS + 1) * HOUR_US
"""How long before a moment the oldest reading lies that has part in what was shown then."""
_AT_ONCE_US: Final = SECOND_US
"""A time this close after the arrival was given by the node, or by a clock as good as its own."""

Whose = Literal["sensor", "node", "node_in_doubt"]
_CLOCKS: Final[Mapping[Whose, str]] = {
    "sensor": "The time is the sensor's own.",
    "node": "The time is that of the arrival: the node gave it, or a clock that agrees with its.",
    "node_in_doubt": "The node gave the time while its own clock was not to be trusted.",
}
_FLAGS: Final = {
    "range": "A value is physically impossible: look at the fan, the laser and the correction.",
    "stuck": "A value has been exactly the same for 24 hours: look at cable and firmware.",
    "spike": "A value is far from the sensor's last twelve, and no neighbour confirms it.",
    "neighbours": "What three or more neighbours agree on is far from what this sensor says.",
    "channels": "The monitor's two channels differ by 5 µg/m³ and 70 % of their mean, or more.",
    "humidity": "Particles were counted in fog, for which the sensor is not made.",
    "clock": "The node's own clock was not to be trusted when it gave the reading its time.",
}
_COUNTED: Final = "It counts in averages, clusters, alerts and sums."
_LEFT_OUT: Final = (
    "It is shown with its flags, and left out of averages, clusters, alerts and sums."
)
_ONE_READING: Final = "The index of this one reading's own concentrations; it is not an average."
_SAME_GRADING: Final = "The stored index was computed by the tables that are in use."
_OTHER_GRADING: Final = "The stored index was computed by other tables than those in use."
_NOT_STORED: Final = "The reading was urgent and is shown before it is stored, with the next flush."


class StandardNamed(msgspec.Struct, frozen=True):
    """Which index this is, and where it stands."""

    id: str
    version: str
    name: str
    publisher: str
    document: str
    date: str


class ReadingTold(msgspec.Struct, frozen=True):
    """One reading: when, by whose clock, and where."""

    id: str
    timestamp: str
    received_at: str
    clock: Whose
    says: str
    source: str
    lat: float
    lng: float


class Applied(msgspec.Struct, frozen=True):
    """A correction as it was applied: `of` are the numbers that the formula was given.

    Formula, document and coefficients are null when this node does not know the correction.
    """

    name: str
    version: int
    formula: str | None
    of: dict[str, float]
    coefficients: dict[str, float] | None
    document: str | None


class ValueTold(msgspec.Struct, frozen=True):
    """What the sensor said, and what is shown, summed and graded."""

    unit: str
    raw: float
    correction: Applied | None
    value: float


class Flagged(msgspec.Struct, frozen=True):
    """A flag, and what it means."""

    flag: str
    says: str


class Flags(msgspec.Struct, frozen=True):
    """What is known against a reading, and what follows from that."""

    flags: list[Flagged]
    is_counted: bool
    says: str


class Pollutant(msgspec.Struct, frozen=True):
    """What a pollutant adds to the index; nothing where it was not measured."""

    unit: str
    concentration: float | None
    workings: list[aqi.Working]
    index: int | None


class Index(msgspec.Struct, frozen=True):
    """The index of a reading: the highest of its pollutants', in the order that settles a tie."""

    says: str
    pollutants: dict[str, Pollutant]
    overall: aqi.Overall


class Grading(msgspec.Struct, frozen=True):
    """By which tables the stored index was computed; null when the reading is not stored yet."""

    stored: str | None
    in_use: str
    is_same: bool
    stored_aqi_value: int | None
    says: str


class Explanation(msgspec.Struct, frozen=True):
    """The chain, in the order of its fields."""

    sensor_id: str
    standard: StandardNamed
    reading: ReadingTold
    values: dict[str, ValueTold]
    quality: Flags
    averages: Averages
    index: Index
    grading: Grading


class Explanations:
    """Read by any number of threads."""

    def __init__(
        self,
        shown: Shown,
        history: History,
        averaging: Averaging,
        corrections: Corrections,
        standard: aqi.Standard,
    ) -> None:
        self._shown = shown
        self._history = history
        self._averaging = averaging
        self._corrections = corrections
        self._standard = standard

    def read(
        self, sensor_id: str, at_us: int | None, quantity: str | None, view: View
    ) -> Explanation:
        """Explain what was shown of a sensor at a moment, or is now; of one quantity if named.

        Raises:
            NotFound: there is no reading in the 24 hours before, or it has none of that quantity.
            StorageUnavailable: a file could not be read.
        """
        row = self._shown.row(sensor_id, at_us, view)
        values = self._values(row)
        averages = self._averaging.of(sensor_id, self._averaging.until_us(at_us))
        if quantity is not None:
            values, averages = _only(quantity, values, averages)
        return Explanation(
            sensor_id=sensor_id,
            standard=_named(self._standard),
            reading=_reading(row),
            values=values,
            quality=_quality(row),
            averages=averages,
            index=self._index(row),
            grading=self._grading(row),
        )

    def revision(self, sensor_id: str, at_us: int | None, view: View) -> Hashable:
        """What tells apart the explanations of one moment: the files, once that is settled."""
        if at_us is not None:
            asked = Asked(sensor_id, HOURLY.name, at_us - REACHES_BACK_US, at_us + 1, ())
            if self._history.is_settled(asked):
                return self._history.revision(asked)
        return view.revision, view.hour

    def _values(self, row: Row) -> dict[str, ValueTold]:
        applied = self._applied(row)
        return {
            one.name: ValueTold(one.unit, _said(row, one.name), applied.get(one.name), value)
            for one in QUANTITIES
            if (value := row[one.name]) is not None
        }

    def _applied(self, row: Row) -> dict[str, Applied]:
        """By quantity, the corrections that a reading names."""
        found = {}
        for label in filter(None, (row.get(CORRECTION) or "").split(",")):
            quantity, _, named = label.partition("=")
            name, _, version = named.rpartition("@")
            of = {"x": _said(row, quantity)}
            known = self._corrections.named(row["sensor_id"], label)
            if known is None:
                found[quantity] = Applied(name, int(version), None, of, None, None)
                continue
            if known.needs_humidity:
                of["RH"] = _said(row, "humidity")
            found[quantity] = Applied(
                name, known.version, known.formula, of, known.coefficients, known.document
            )
        return found

    def _index(self, row: Row) -> Index:
        pollutants = {
            name: _pollutant(scales, name, row[name])
            for name, scales in self._standard.scales.items()
        }
        indexes = {name: one.index for name, one in pollutants.items()}
        return Index(_ONE_READING, pollutants, aqi.highest_of(self._standard, indexes))

    def _grading(self, row: Row) -> Grading:
        stored, in_use = row.get("grading"), self._standard.grading
        if stored is None:
            return Grading(None, in_use, True, None, _NOT_STORED)
        is_same = stored == in_use
        says = _SAME_GRADING if is_same else _OTHER_GRADING
        return Grading(stored, in_use, is_same, row["aqi_value"], says)


def known_quantity(name: str | None) -> str | None:
    """A name that may be asked for, none for all.

    Raises:
        Unprocessable: there is none of that name.
    """
    if name is not None and name not in UNITS:
        raise Unprocessable(
            f"'quantity' is one of {', '.join(UNITS)}; not '{name[:40]}'", code="unknown_quantity"
        )
    return name


def _only(
    quantity: str, values: dict[str, ValueTold], averages: Averages
) -> tuple[dict[str, ValueTold], Averages]:
    """What concerns one quantity; for the index, whatever counts towards it."""
    if quantity == INDEX:
        return values, averages
    if quantity not in values:
        raise NotFound(f"the reading says nothing of {quantity}")
    kept = {name: one for name, one in averages.quantities.items() if name == quantity}
    return {quantity: values[quantity]}, msgspec.structs.replace(averages, quantities=kept)


def _named(standard: aqi.Standard) -> StandardNamed:
    return StandardNamed(
        standard.id,
        standard.version,
        standard.name,
        standard.publisher,
        standard.document,
        standard.date,
    )


def _reading(row: Row) -> ReadingTold:
    clock = _clock(row)
    return ReadingTold(
        id=reading_id(row["sensor_id"], row["timestamp"]),
        timestamp=to_rfc3339(row["timestamp"]),
        received_at=to_rfc3339(row["received_at"]),
        clock=clock,
        says=_CLOCKS[clock],
        source=row["source"],
        lat=row["lat"],
        lng=row["lng"],
    )


def _clock(row: Row) -> Whose:
    """Whose clock it was. A stamp follows the arrival at once; what is measured precedes it."""
    if "clock" in split_flags(row["flags"]):
        return "node_in_doubt"
    return "node" if 0 <= row["timestamp"] - row["received_at"] < _AT_ONCE_US else "sensor"


def _quality(row: Row) -> Flags:
    flags = [Flagged(flag, _FLAGS[flag]) for flag in split_flags(row["flags"])]
    return Flags(flags, not flags, _LEFT_OUT if flags else _COUNTED)


def _pollutant(scales: tuple[aqi.Scale, ...], name: str, concentration: float | None) -> Pollutant:
    if concentration is None:
        return Pollutant(UNITS[name], None, [], None)
    workings = [aqi.working(scale, concentration) for scale in scales]
    index = max((one.index for one in workings if one.index is not None), default=None)
    return Pollutant(UNITS[name], concentration, workings, index)


def _said(row: Row, quantity: str) -> float:
    """What the sensor itself said of a quantity."""
    raw: float | None = row.get(RAW_NAMES[quantity])
    return row[quantity] if raw is None else raw
