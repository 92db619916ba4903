"""What people say they smell or see: held until an operator has looked at it, then shown.

Reports are words, not measurements: nothing here reaches the store, an average, an index or an
alert. Who sent one is not kept, and where it was only to about 100 m.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Literal, get_args

import apsw
import msgspec
from msgspec import Meta

from urbanos_edge.allowance import Allowance
from urbanos_edge.clock import DAY_US, SECOND_US, Clock, to_rfc3339, to_us
from urbanos_edge.database import Database
from urbanos_edge.errors import BadRequest, NotFound, Unavailable, Unprocessable
from urbanos_edge.grid import Bounds

MAX_PENDING: Final = 1000
"""Reports that may wait for a look; more are refused, so that a flood cannot push out real ones."""
MAX_DECIDED: Final = 20_000
"""Reports kept after the look; beyond it the oldest go. With notes of 2,000 bytes, 40 MB."""
MAX_NOTE: Final = 500
MAX_AHEAD_US: Final = 5 * 60 * SECOND_US
PLACE_DECIMALS: Final = 3
"""Of a degree: 111 m from north to south, less from east to west."""
_TURNS_TEXT: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
"""The directional formatting characters of Unicode (UAX 9, 2): they could make a note swallow
the words that stand beside it."""

Kind = Literal["smoke", "burning", "traffic", "industrial", "chemical", "dust", "sewage", "other"]
State = Literal["pending", "approved", "rejected"]
Verdict = Literal["approved", "rejected"]
Change = Literal["approved", "withdrawn"]
STATES: Final[tuple[State, ...]] = get_args(State)

_COLUMNS: Final = "id, state, kind, note, lat, lng, at_us, received_at_us, decided_at_us"
_ADD: Final = f"""
INSERT INTO reports (state, kind, note, lat, lng, at_us, received_at_us)
VALUES ('pending', ?, ?, ?, ?, ?, ?) RETURNING {_COLUMNS}
"""
_FIND: Final = f"""
SELECT {_COLUMNS} FROM reports
WHERE state IN (SELECT value FROM json_each(?)) AND at_us >= ? AND at_us < ?
AND lng BETWEEN ? AND ? AND lat BETWEEN ? AND ? ORDER BY at_us DESC, id DESC LIMIT ?
"""
_DECIDE: Final = (
    f"UPDATE reports SET state = ?, decided_at_us = ? WHERE id = ? RETURNING {_COLUMNS}"
)
_SURPLUS: Final = """
DELETE FROM reports WHERE id IN (SELECT id FROM reports WHERE state <> 'pending'
ORDER BY at_us DESC, id DESC LIMIT -1 OFFSET ?)
"""


class ReportsFull(Unavailable):
    """As many reports wait for a look as may; nothing was kept."""

    code = "reports_full"
    retry_after_s = 3600


class NewReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A report as somebody sends it; degrees in WGS 84. Without `at` it is about now."""

    lat: Annotated[float, Meta(ge=-90, le=90)]
    lng: Annotated[float, Meta(ge=-180, le=180)]
    kind: Kind
    note: Annotated[str, Meta(max_length=MAX_NOTE)] = ""
    at: Annotated[datetime, Meta(tz=True)] | None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A report as everybody may see it."""

    id: int
    kind: Kind
    note: str
    lat: float
    lng: float
    at: str


class Report(msgspec.Struct, frozen=True):
    """A report as it is kept."""

    id: int
    state: State
    kind: Kind
    note: str
    lat: float
    lng: float
    at_us: int
    received_at_us: int
    decided_at_us: int | None

    @property
    def shown(self) -> Shown:
        return Shown(
            id=self.id,
            kind=self.kind,
            note=self.note,
            lat=self.lat,
            lng=self.lng,
            at=to_rfc3339(self.at_us),
        )


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which reports somebody wants to see: from one moment to before another, in a box."""

    states: tuple[State, ...] = STATES
    since_us: int = 0
    until_us: int = 2**62
    box: Bounds = Bounds(-180.0, -90.0, 180.0, 90.0)
    limit: int = 100


class Reports:
    """The reports of this node; `tell` hears of each that appears to everybody, or disappears."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        allowance: Allowance,
        retention_days: int,
        tell: Callable[[Report, Change], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._allowance = allowance
        self._retention_us = retention_days * DAY_US
        self._tell = tell
        self.revision = 0
        """Grows with everything that changes what is shown, since the start."""

    async def add(self, new: NewReport, address: str) -> Report:
        """Hold a report until somebody has looked at it; it is durable on return.

        Raises:
            Unprocessable: its time is ahead, or too long ago to be kept.
            TooManyRequests: this address has sent as many as it may.
            ReportsFull: too many wait already.
        """
        now_us = self._clock.now_us()
        at_us = now_us if new.at is None else to_us(new.at)
        if not now_us - self._retention_us <= at_us <= now_us + MAX_AHEAD_US:
            raise Unprocessable(
                "'at' must not be ahead of now, nor so long ago that it is not kept any more",
                code="invalid_at",
            )
        self._allowance.take(address)
        place = _rounded(new.lat), _rounded(new.lng)
        row = (new.kind, cleaned(new.note), *place, at_us, now_us)
        return await self._database.write(partial(_add, row=row))

    def find(self, asked: Asked) -> Sequence[Report]:
        """The reports that were asked for, the newest first."""
        west, south, east, north = asked.box
        span = asked.since_us, asked.until_us
        given = (_json(asked.states), *span, west, east, south, north, asked.limit)
        return [Report(*row) for row in self._database.read().execute(_FIND, given)]

    async def decide(self, number: int, verdict: Verdict) -> Report:
        """Show a report to everybody or to nobody; what was decided before may be undone.

        Raises:
            NotFound: there is no such report.
        """
        work = partial(_decide, number=number, verdict=verdict, now_us=self._clock.now_us())
        report, before = await self._database.write(work)
        if before != verdict and "approved" in (before, verdict):
            self.revision += 1
            self._tell(report, "approved" if verdict == "approved" else "withdrawn")
        return report

    async def expire(self) -> int:
        """Drop what is older than the retention; return how many there were."""
        before_us = self._clock.now_us() - self._retention_us

        def work(connection: apsw.Connection) -> int:
            connection.execute("DELETE FROM reports WHERE at_us < ?", (before_us,))
            return connection.changes()

        dropped = await self._database.write(work)
        self.revision += bool(dropped)
        return dropped

    def counts(self) -> dict[str, int]:
        """How many reports there are, by state; blocks on the database."""
        rows = self._database.read().execute("SELECT state, count(*) FROM reports GROUP BY state")
        return dict.fromkeys(STATES, 0) | dict(rows)


def read_report(body: bytes) -> NewReport:
    """Read a report from JSON.

    Raises:
        BadRequest: it is not JSON.
        Unprocessable: it is no report.
    """
    try:
        return msgspec.json.decode(body, type=NewReport)
    except msgspec.ValidationError as error:
        raise Unprocessable(f"the report cannot be read: {error}", code="invalid_report") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the report is not JSON: {error}") from error


def cleaned(note: str) -> str:
    """A note as one line of text, without what controls a terminal or turns text around.

    Nothing else is taken out: who shows it escapes it.
    """
    line = " ".join(note.split())
    kept = (sign for sign in line if unicodedata.category(sign) != "Cc" and sign not in _TURNS_TEXT)
    return "".join(kept)


def _rounded(degrees: float) -> float:
    return round(degrees, PLACE_DECIMALS) + 0.0  # no -0.0


def _json(states: Sequence[State]) -> str:
    return msgspec.json.encode(states).decode()


def _add(connection: apsw.Connection, row: tuple[Any, ...]) -> Report:
    query = "SELECT count(*) FROM reports WHERE state = 'pending'"
    if connection.execute(query).get >= MAX_PENDING:
        raise ReportsFull("too many reports wait for the office; please try again later")
    (kept,) = connection.execute(_ADD, row)
    return Report(*kept)


def _decide(
    connection: apsw.Connection, number: int, verdict: Verdict, now_us: int
) -> tuple[Report, State]:
    query = "SELECT state FROM reports WHERE id = ?"
    is_possible = 0 < number < 1 << 63
    before: State | None = connection.execute(query, (number,)).get if is_possible else None
    if before is None:
        raise NotFound(f"there is no report {number}; see 'report list'")
    (kept,) = connection.execute(_DECIDE, (verdict, now_us, number))
    connection.execute(_SURPLUS, (MAX_DECIDED,))
    return Report(*kept), before
