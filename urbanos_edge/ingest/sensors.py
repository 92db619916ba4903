"""The registry: which sensors there are, what they are called, and where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw
import msgspec

from urbanos_edge.database import Database
from urbanos_edge.errors import NotFound


class Sensor(msgspec.Struct, frozen=True):
    """One registered sensor; a place is in degrees, none until it is known."""

    id: str
    name: str
    lat: float | None
    lng: float | None
    source: str
    registered_at_us: int


class Sensors:
    """All registered sensors, held in memory."""

    def __init__(self, database: Database) -> None:
        rows = database.read().execute(
            "SELECT id, name, lat, lng, source, registered_at_us FROM sensors"
        )
        self._by_id = {row[0]: Sensor(*row) for row in rows}
        self._database = database
        self.revision = 0
        """Grows with every change since the start."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, sensor_id: str) -> bool:
        return sensor_id in self._by_id

    def list(self) -> list[Sensor]:
        return sorted(self._by_id.values(), key=lambda sensor: sensor.id)

    def find(self, sensor_id: str) -> Sensor | None:
        return self._by_id.get(sensor_id)

    def unplaced(self, sensor_ids: Iterable[str]) -> set[str]:
        """Those among them that are not known, or not where they stand."""
        find = self._by_id.get
        return {one for one in sensor_ids if (sensor := find(one)) is None or sensor.lat is None}

    def get(self, sensor_id: str) -> Sensor:
        """Raises NotFound when there is none."""
        sensor = self._by_id.get(sensor_id)
        if sensor is None:
            raise NotFound(f"there is no sensor '{sensor_id[:120]}'")
        return sensor

    def name_of(self, sensor_id: str) -> str:
        sensor = self._by_id.get(sensor_id)
        return sensor.name if sensor else sensor_id

    async def register(self, sensors: Sequence[Sensor]) -> None:
        """Add sensors, or give known ones another name and place."""
        await self._database.write(lambda connection: self.save(connection, sensors))
        self.remember(sensors)

    async def remove(self, sensor_id: str) -> None:
        """Forget a sensor and, in the same moment, the sources claimed for it."""
        statement = "DELETE FROM sensors WHERE id = ?"
        await self._database.write(lambda work: work.execute(statement, (sensor_id,)))
        self._by_id.pop(sensor_id, None)
        self.revision += 1

    def save(self, connection: apsw.Connection, sensors: Sequence[Sensor]) -> None:
        """Write sensors as part of a larger work; call `remember` once it is committed."""
        connection.executemany(
            "INSERT INTO sensors (id, name, lat, lng, source, registered_at_us)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " name = excluded.name, lat = excluded.lat, lng = excluded.lng",
            [msgspec.structs.astuple(sensor) for sensor in sensors],
        )

    def remember(self, sensors: Sequence[Sensor]) -> None:
        self._by_id.update({sensor.id: sensor for sensor in sensors})
        self.revision += bool(sensors)
