"""Three months of Aberdeen's airRohr units through their own door: `scripts/soak aberdeen`.

An airRohr message has no time: its arrival counts. So the node runs by a clock that is set to the
minute in which the archive says that a value was measured, and what belongs to a minute is sent all
at once, each unit over a connection of its own. The archive is moved by eight years, to the same
day and hour, because a node doubts a clock that is behind its release.
"""

from __future__ import annotations

import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import duckdb
import msgspec

from tests.devices import airrohr_fields
from tests.faults.figures import Figures
from tests.http.hand_clock import HandClock
from tests.processes import NodeProcess
from urbanos_edge import control
from urbanos_edge.cli.asking import ask
from urbanos_edge.clock import SECOND_US, to_us

MOVED: Final = timedelta(days=8 * 365 + 2)
"""From 2019 to 2027, two of the years between having a day more."""
MINUTE_US: Final = 60 * SECOND_US
STRIKING_UGM3: Final = 900.0
QUIET_S: Final = 1.0
"""Well within the time after which a node closes a connection that nothing comes on."""
SETTINGS: Final = {"retention_days": 3650, "compact_duty_percent": 5}
_FIRST: Final = datetime(2019, 2, 18, tzinfo=UTC)
_CHIPS: Final = {
    "sds011": {"SDS_P1": "P1", "SDS_P2": "P2"},
    "bme280": {
        "BME280_temperature": "temperature",
        "BME280_pressure": "pressure",
        "BME280_humidity": "humidity",
    },
}
"""By file, what the firmware calls a value, and the column it stands in."""
_ROWS: Final = """
SELECT sensor_id, epoch_us(timestamp::TIMESTAMP) AS at_us, lat::DOUBLE, lon::DOUBLE,
    map {{{columns}}} AS fields
FROM (
    SELECT *, row_number() OVER () AS line
    FROM read_csv('{path}', delim = ';', all_varchar = true)
)
WHERE line % {every} = 0 AND coalesce({names}) IS NOT NULL
"""
_SENT: Final = """
SELECT 'esp8266-' || sensor_id AS sensor_id, fields['SDS_P1']::DOUBLE AS pm10,
    fields['SDS_P2']::DOUBLE AS pm25, fields['BME280_temperature']::DOUBLE AS temperature,
    fields['BME280_pressure']::DOUBLE / 100 AS pressure,
    fields['BME280_humidity']::DOUBLE AS humidity
FROM archive
"""
_FOUND: Final = "SELECT sensor_id, pm10, pm25, temperature, pressure, humidity FROM stored"
_STORED: Final = """
CREATE VIEW stored AS SELECT * FROM read_parquet('{glob}', hive_partitioning = false)
"""
_STRIKING: Final = f"""
SELECT strftime(timestamp AT TIME ZONE 'UTC' - INTERVAL {MOVED.days} DAY, '%Y-%m-%d %H:%M'),
    sensor_id, pm10, pm25, flags
FROM stored WHERE greatest(pm10, pm25) > {STRIKING_UGM3} ORDER BY sensor_id, timestamp
"""


class Row(NamedTuple):
    """A row of an archive, its values as texts by the names that the firmware has for them."""

    sensor_id: str
    at_us: int
    lat: float
    lng: float
    fields: dict[str, str | None]

    @property
    def unit(self) -> str:
        return f"esp8266-{self.sensor_id}"

    def message(self, token: str) -> bytes:
        """The request that the firmware would make of it."""
        fields = {name: value for name, value in self.fields.items() if value is not None}
        body = msgspec.json.encode(
            {"esp8266id": self.sensor_id, "sensordatavalues": airrohr_fields(**fields)}
        )
        head = (
            f"POST /data.php HTTP/1.1\r\nHost: localhost\r\nX-Sensor: {self.unit}\r\n"
            f"Authorization: Token {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Unit:
    """A unit's connection, and where its sensor was registered last."""

    place: tuple[float, float] | None = None
    _used_s: float

    def __init__(self, port: int) -> None:
        self._port = port
        self._connect()

    def send(self, message: bytes) -> None:
        """Send one message, over a new connection if the unit was quiet for a while."""
        if time.monotonic() - self._used_s > QUIET_S:
            self.close()
            self._connect()
        self._socket.sendall(message)
        self._used_s = time.monotonic()

    def status(self) -> int:
        """Read one answer to its end."""
        status = int(self._answers.readline().split()[1])
        length = 0
        while (line := self._answers.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self._answers.read(length)
        return status

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers: BinaryIO = self._socket.makefile("rb")
        self._used_s = time.monotonic()


class Street:
    """All units of the archive, on a node whose clock follows it."""

    def __init__(self, node: NodeProcess, clock: HandClock) -> None:
        self._node = node
        self._clock = clock
        self._token = node.token()
        self._units: dict[str, Unit] = {}
        self.statuses: Counter[int] = Counter()

    def live(self, rows: Iterator[Row]) -> None:
        """Send all rows, minute by minute."""
        for minute, group in groupby(rows, lambda row: row.at_us // MINUTE_US):
            self._clock.set_to(minute * MINUTE_US + MOVED // timedelta(microseconds=1))
            self._send(list(group))

    def close(self) -> None:
        for unit in self._units.values():
            unit.close()

    def _send(self, rows: Sequence[Row]) -> None:
        units = [self._placed(row) for row in rows]
        for unit, row in zip(units, rows, strict=True):
            unit.send(row.message(self._token))
        self.statuses.update(unit.status() for unit in units)

    def _placed(self, row: Row) -> Unit:
        """The unit of a row, registered where the row says that it stands."""
        name, place = row.unit, (row.lat, row.lng)
        unit = self._units.get(name)
        if unit is None:
            unit = self._units[name] = Unit(self._node.port)
            new = {"id": name, "lat": row.lat, "lng": row.lng}
            control.request(self._node.data_dir, "sensor_add", new)
        elif unit.place != place:
            change = {"id": name, "place": {"lat": row.lat, "lng": row.lng}}
            control.request(self._node.data_dir, "sensor_change", change)
        unit.place = place
        return unit


def live_through(folder: Path, data: Path, every: int) -> Iterator[Figures]:
    """Send every n-th row, and compare what is stored with what was sent."""
    program = [sys.executable, "-m", "tests.http.hand_clock", str(folder / "clock")]
    with HandClock(folder / "clock", to_us(_FIRST + MOVED)) as clock, duckdb.connect() as archive:
        archive.execute(f"CREATE TABLE archive AS {_archive(data, every)}")
        node = NodeProcess(folder / "node", SETTINGS, program)
        street = Street(node, clock)
        try:
            began_s = time.monotonic()
            street.live(_rows(archive))
            took_s = time.monotonic() - began_s
        finally:
            street.close()
            node.stop()
        figures = _judged(node.data_dir, archive)
    figures.answers = {str(status): number for status, number in street.statuses.items()}
    figures.acknowledged = street.statuses[200]
    figures.more["messages_a_second"] = round(street.statuses.total() / took_s)
    yield figures


def _archive(data: Path, every: int) -> str:
    """The rows of all units in SQL, without those that have no value: they are no message."""
    parts = []
    for chip, fields in _CHIPS.items():
        columns = ", ".join(f"'{name}': {column}" for name, column in fields.items())
        path, names = data / "readings/aberdeen" / f"{chip}.csv.gz", ", ".join(fields.values())
        parts.append(_ROWS.format(columns=columns, path=path, every=every, names=names))
    return " UNION ALL ".join(parts)


def _rows(archive: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    """All rows by time."""
    found = archive.cursor().execute("FROM archive ORDER BY at_us, sensor_id")
    while rows := found.fetchmany(10_000):
        yield from map(Row._make, rows)


def _judged(data_dir: Path, archive: duckdb.DuckDBPyConnection) -> Figures:
    """What was lost or invented, and what was flagged; tables of it go to stderr.

    No node may run: it would merge files that are just being read.
    """
    figures = Figures("Aberdeen through the airRohr door", rounds=1)
    glob = data_dir / "readings" / "created_date=*" / "*.parquet"
    archive.execute(_STORED.format(glob=glob))
    figures.lost = _count(archive, f"({_SENT}) EXCEPT ALL ({_FOUND})")
    figures.wrong = _count(archive, f"({_FOUND}) EXCEPT ALL ({_SENT})")
    if figures.lost or figures.wrong:
        figures.complaints.append(f"{figures.lost} rows are not stored as they were sent")
    flagged: Counter[str] = Counter()
    span = {"since_us": 0, "until_us": to_us(_FIRST + MOVED + timedelta(days=200))}
    for found in ask(data_dir, "flags", span):
        flagged[found["flag"]] += found["flagged"]
        _tell(*(str(value) for name, value in found.items() if not name.endswith("_at_us")))
    striking = archive.execute(_STRIKING).fetchall()
    for row in striking:
        _tell(*map(str, row))
    figures.more |= {f"flagged_{flag}": number for flag, number in sorted(flagged.items())}
    figures.more["above_900"] = len(striking)
    figures.more["above_900_flagged"] = sum(1 for *_, flags in striking if flags)
    return figures


def _count(archive: duckdb.DuckDBPyConnection, query: str) -> int:
    row = archive.execute(f"SELECT count(*) FROM ({query})").fetchone()
    assert row is not None
    return int(row[0])


def _tell(*cells: str) -> None:
    sys.stderr.write(" | ".join(cells) + "\n")
