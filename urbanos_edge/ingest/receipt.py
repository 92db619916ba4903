"""What becomes of a message: judged element by element, packed for the spool, and answered for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from urbanos_edge.adapters import Candidate, Malformed
from urbanos_edge.batch import Packing, Rows, finest_tile, said
from urbanos_edge.clock import Stamp
from urbanos_edge.errors import Forbidden, ReadingRejected
from urbanos_edge.grid import FINEST_ZOOM, STORED_ZOOM, Tile
from urbanos_edge.ingest.dead_letters import MAX_PAYLOAD, DeadLetter
from urbanos_edge.ingest.inbox import Held, Kept
from urbanos_edge.ingest.sources import Arrival
from urbanos_edge.reading import Reading

Statement = tuple[str, int, bytes]
"""A sensor, a moment, and what was said of it, as `said` gives it."""


class Refusal(msgspec.Struct, frozen=True):
    """Why one element of a request was not taken; `index` counts from 0."""

    index: int
    code: str
    message: str


@dataclass(slots=True)
class Receipt:
    """What became of a request. Every accepted reading is durable; `place` is the first one's.

    `held` counts what waits in the inbox, as durable as a reading, and `ignored` what was thrown
    away without a word because its sender is to be ignored.
    """

    accepted: int = 0
    duplicates: int = 0
    held: int = 0
    ignored: int = 0
    place: tuple[float, float] | None = None
    refused: list[Refusal] = field(default_factory=list)
    errors: list[ReadingRejected | Forbidden] = field(default_factory=list)

    @property
    def grid_id(self) -> str | None:
        """The grid of the first accepted reading, None when there is none."""
        if self.place is None:
            return None
        x18, y18 = finest_tile(*self.place)
        shift = FINEST_ZOOM - STORED_ZOOM
        return Tile(STORED_ZOOM, x18 >> shift, y18 >> shift).grid_id

    def demand_all(self) -> None:
        """Raise the first error, if there is one; it leaves the receipt.

        Else it would be in a circle with its traceback, which holds the receipt.
        """
        if self.errors:
            raise self.errors.pop(0)


@dataclass(slots=True)
class Judged:
    """A message after the rules: what was judged one by one, and the rows of plain readings.

    When there are rows, the readings are among them.
    """

    judged_us: int
    readings: list[Reading] = field(default_factory=list)
    rows: Rows | None = None
    letters: list[DeadLetter] = field(default_factory=list)
    held: dict[str, Held] = field(default_factory=dict)
    """By sender."""
    receipt: Receipt = field(default_factory=Receipt)
    _left_out: set[int] = field(default_factory=set)

    def take(self, index: int, reading: Reading) -> None:
        self.readings.append(reading)
        if self.rows is not None:
            self.rows.put(index, reading)

    def refuse(
        self,
        index: int,
        element: Candidate | Malformed,
        error: ReadingRejected | Forbidden,
        *,
        bury: bool = True,
    ) -> None:
        """Leave an element out, and write a letter about it unless told otherwise."""
        self._left_out.add(index)
        self.receipt.refused.append(Refusal(index, error.code, error.message))
        self.receipt.errors.append(error)
        if bury:
            self.letters.append(_letter(element, error, self.judged_us))

    def hold(self, index: int, sender: str, came: Arrival, sent: Candidate, stamp: Stamp) -> None:
        """Let an element wait in the inbox for its sender to be claimed."""
        self._left_out.add(index)
        self.receipt.held += 1
        held = self.held.get(sender)
        if held is None:
            held = Held(sender, came.protocol, came.address, self.judged_us)
            self.held[sender] = held
        held.kept.append(Kept(stamp.at_us, stamp.is_trusted, msgspec.json.encode(sent)))

    def ignore(self, index: int) -> None:
        """Leave an element out without a word."""
        self._left_out.add(index)
        self.receipt.ignored += 1

    def close(self) -> None:
        """Leave out what was not accepted, and note what is left."""
        receipt = self.receipt
        if self.rows is None:
            receipt.accepted = len(self.readings)
            if self.readings:
                receipt.place = self.readings[0].lat, self.readings[0].lng
            return
        if self._left_out:
            self.rows = self.rows.without(self._left_out)
        receipt.accepted = len(self.rows)
        if receipt.accepted:
            receipt.place = (float(self.rows.rows["lat"][0]), float(self.rows.rows["lng"][0]))

    def pack(self, packing: Packing) -> Iterable[Statement]:
        """Add what was accepted; return sensor, moment and what is said of it, one by one."""
        if self.rows is not None:
            packed = packing.add_rows(self.rows)
            moments_us = self.rows.rows["timestamp_us"].tolist()
            return zip(self.rows.sensor_ids, moments_us, said(packed), strict=True)
        packed = packing.add(self.readings)
        return [
            (reading.sensor_id, reading.timestamp_us, words)
            for reading, words in zip(self.readings, said(packed), strict=True)
        ]


def _letter(
    element: Candidate | Malformed, error: ReadingRejected | Forbidden, rejected_at_us: int
) -> DeadLetter:
    if isinstance(element, Malformed):
        encoded = element.payload
    else:
        encoded = msgspec.json.encode(element)
    return DeadLetter(rejected_at_us, error.code, error.message, encoded[:MAX_PAYLOAD])
