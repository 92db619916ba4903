"""Which correction is in force for whom, and readings corrected by it.

A sensor's own comes before that of its source, quantity by quantity. Of a sensor's own the highest
version counts that is valid at the moment of the reading.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import apsw
import msgspec
import numpy as np
import numpy.typing as npt

from urbanos_edge.batch import CORRECTION, RAW_NAMES, Batch, uncorrected
from urbanos_edge.database import Database
from urbanos_edge.quality.formulas import Correction, linear, published
from urbanos_edge.reading import QUANTITY_NAMES

FOR_EVER_US: Final = 2**62
_NONE: Final = -1

T = TypeVar("T")
Ints = npt.NDArray[np.int64]


class Calibration(msgspec.Struct, frozen=True):
    """A sensor's own correction of a quantity: gain × value + shift, from a moment until another.

    `basis` is what it rests on, in words; no `valid_until_us`: for good.
    """

    sensor_id: str
    quantity: str
    version: int
    gain: float
    shift: float
    valid_from_us: int
    valid_until_us: int | None
    basis: str
    created_at_us: int

    @property
    def correction(self) -> Correction:
        return linear(self.quantity, self.version, self.gain, self.shift, self.basis)

    @property
    def ends_us(self) -> int:
        return FOR_EVER_US if self.valid_until_us is None else self.valid_until_us

    def covers(self, at_us: int) -> bool:
        """Whether it is valid at a moment."""
        return self.valid_from_us <= at_us < self.ends_us


_COLUMNS: Final = ", ".join(Calibration.__struct_fields__)
_ADD: Final = f"INSERT INTO corrections ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_END: Final = """
UPDATE corrections SET valid_until_us = max(valid_from_us, ?1)
WHERE sensor_id = ?2 AND quantity = ?3 AND coalesce(valid_until_us, ?4) > ?1
"""


class Corrections:
    """All corrections, held in memory; read by any number of threads, changed in the event loop.

    `by_source` are the defaults by source and quantity.
    """

    def __init__(
        self, database: Database, by_source: Mapping[str, Mapping[str, Correction]]
    ) -> None:
        self._database = database
        self._by_source = by_source
        self._own = _load(database.read())

    @property
    def sensors(self) -> list[str]:
        """The sensors with corrections of their own."""
        return list(self._own)

    @property
    def sources(self) -> list[str]:
        """The sources with a default."""
        return list(self._by_source)

    def of_sensor(self, sensor_id: str) -> Sequence[Calibration]:
        """A sensor's own, the ended ones too, by quantity and version."""
        return self._own.get(sensor_id, ())

    def applied(self, sensor_id: str, source: str, at_us: int) -> Mapping[str, Correction]:
        """By quantity, what would correct a reading of that moment, if it has what that needs."""
        own = [one for one in self.of_sensor(sensor_id) if one.covers(at_us)]
        return dict(self._by_source.get(source, {})) | {one.quantity: one.correction for one in own}

    def named(self, sensor_id: str, label: str) -> Correction | None:
        """What a reading's `quantity=name@version` stands for; None when it is not known here."""
        own = (one.correction for one in self.of_sensor(sensor_id))
        return next((one for one in own if one.label == label), None) or published(label)

    async def add(
        self,
        sensor_id: str,
        quantity: str,
        line: tuple[float, float],
        span_us: tuple[int, int | None],
        basis: str,
        now_us: int,
    ) -> Calibration:
        """Let gain and shift be a sensor's newest version from a moment until another."""

        def work(connection: apsw.Connection) -> Calibration:
            newest = "SELECT max(version) FROM corrections WHERE sensor_id = ? AND quantity = ?"
            version = (connection.execute(newest, (sensor_id, quantity)).get or 0) + 1
            added = Calibration(sensor_id, quantity, version, *line, *span_us, basis, now_us)
            connection.execute(_ADD, msgspec.structs.astuple(added))
            return added

        added = await self._database.write(work)
        self._own = _load(self._database.read())
        return added

    async def end(self, sensor_id: str, quantity: str, until_us: int) -> int:
        """End what a sensor has of its own for a quantity; return how many versions that were."""

        def work(connection: apsw.Connection) -> int:
            connection.execute(_END, (until_us, sensor_id, quantity, FOR_EVER_US))
            return connection.changes()

        ended = await self._database.write(work)
        self._own = _load(self._database.read())
        return ended

    def correct(self, batch: Batch) -> Batch:
        """The readings with the values that these corrections make of what the sensors said.

        The batch itself when none applies; else one with the columns `correction` and
        `<quantity>_raw`, as `Batch` describes them.
        """
        batch, own = uncorrected(batch), self._own
        by_source = _of_labels(batch, self._by_source)
        by_sensor = _of_labels(batch, own)
        if not by_source and not by_sensor:
            return batch
        corrected = _Corrected(batch)
        for quantity in QUANTITY_NAMES:
            choice = _Choice(batch, quantity)
            choice.by_source(by_source)
            choice.by_sensor(by_sensor)
            corrected.apply(choice)
        return corrected.batch()


def _load(connection: apsw.Connection) -> dict[str, list[Calibration]]:
    query = f"SELECT {_COLUMNS} FROM corrections ORDER BY sensor_id, quantity, version"
    found: defaultdict[str, list[Calibration]] = defaultdict(list)
    for row in connection.execute(query):
        found[row[0]].append(Calibration(*row))
    return dict(found)


def _of_labels(batch: Batch, known: Mapping[str, T]) -> dict[int, T]:
    """What is known of the labels of a batch, by their numbers."""
    if known.keys().isdisjoint(batch.labels):
        return {}
    return {number: known[name] for number, name in enumerate(batch.labels) if name in known}


class _Choice:
    """For each row of a batch, which correction of one quantity is in force, by its number."""

    def __init__(self, batch: Batch, quantity: str) -> None:
        self._batch = batch
        self.quantity = quantity
        self.corrections: list[Correction] = []
        self.number: Ints = np.full(len(batch), _NONE)

    def by_source(self, known: Mapping[int, Mapping[str, Correction]]) -> None:
        for label, corrections in known.items():
            if self.quantity in corrections:
                self.number[self._batch["source"] == label] = len(self.corrections)
                self.corrections.append(corrections[self.quantity])

    def by_sensor(self, known: Mapping[int, Sequence[Calibration]]) -> None:
        """All first versions side by side, then all second ones, and so on."""
        own = {
            label: [one for one in calibrations if one.quantity == self.quantity]
            for label, calibrations in known.items()
        }
        for depth in range(max(map(len, own.values()), default=0)):
            self._take({label: found[depth] for label, found in own.items() if len(found) > depth})

    def groups(self) -> Iterator[tuple[Correction, Ints]]:
        """Each correction that is in force for any row, and these rows."""
        rows = np.flatnonzero(self.number != _NONE)
        rows = rows[np.argsort(self.number[rows], kind="stable")]
        numbers, starts = np.unique(self.number[rows], return_index=True)
        for number, group in zip(numbers.tolist(), np.split(rows, starts[1:]), strict=False):
            yield self.corrections[number], group

    def _take(self, by_label: Mapping[int, Calibration]) -> None:
        labels = list(by_label)
        number, begins_us, ends_us = (np.full(len(self._batch.labels), _NONE) for _ in range(3))
        number[labels] = len(self.corrections) + np.arange(len(labels))
        begins_us[labels] = [one.valid_from_us for one in by_label.values()]
        ends_us[labels] = [one.ends_us for one in by_label.values()]
        sensor, at_us = self._batch["sensor"], self._batch["timestamp_us"]
        rows = (number[sensor] != _NONE) & (begins_us[sensor] <= at_us) & (at_us < ends_us[sensor])
        self.number[rows] = number[sensor[rows]]
        self.corrections += [one.correction for one in by_label.values()]


class _Corrected:
    """A batch while its quantities are corrected, one after the other."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._columns: dict[str, npt.NDArray[Any]] = {}
        self._texts = [""]
        self._text: Ints = np.zeros(len(batch), np.int64)
        """Which of the texts each row has."""

    def apply(self, choice: _Choice) -> None:
        said, humidity = self._batch[choice.quantity], self._batch["humidity"]
        values, used = said.copy(), np.full(len(said), _NONE)
        for correction, rows in choice.groups():
            rows = rows[correction.applies(said[rows], humidity[rows])]
            values[rows] = correction.of(said[rows], humidity[rows])
            used[rows] = choice.number[rows]
        if (used != _NONE).any():
            self._columns[choice.quantity] = values
            self._columns[RAW_NAMES[choice.quantity]] = np.where(values != said, said, np.nan)
            self._name(choice, used)

    def batch(self) -> Batch:
        if not self._columns:
            return self._batch
        named = {CORRECTION: len(self._batch.labels) + self._text}
        return Batch(self._batch.labels + self._texts, self._batch.columns | self._columns | named)

    def _name(self, choice: _Choice, used: Ints) -> None:
        """Add to the text of each row the correction that was used."""
        names = [one.label for one in choice.corrections] + [""]  # of `_NONE`, which is -1
        pairs, self._text = np.unique(self._text * len(names) + used + 1, return_inverse=True)
        texts = []
        for text, number in zip(*np.divmod(pairs, len(names)), strict=True):
            texts.append(",".join(filter(None, (self._texts[text], names[number - 1]))))
        self._texts = texts
