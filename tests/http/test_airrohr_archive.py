"""Real values of Aberdeen's airRohr units through the airRohr door, as fast as it takes them.

All of them, in the time they were measured in: `scripts/soak aberdeen`.
"""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from tests.devices import airrohr_fields
from tests.http.sending import reading, send, spot_number, stored
from tests.processes import NodeProcess
from urbanos_edge.reading import QUANTITIES

EVERY: Final = 200
"""One of so many rows is sent, and every one with a value above `STRIKING`."""
STRIKING: Final = 900.0
CONNECTIONS: Final = 8
HIGHEST: Final = {quantity.name: quantity.high for quantity in QUANTITIES}

CHOSEN: Final = f"""
SELECT 'esp8266-' || sensor_id, P1, P2
FROM (
    SELECT *, row_number() OVER () - 1 AS line
    FROM read_csv('{{path}}', delim = ';', all_varchar = true)
)
WHERE P1 IS NOT NULL AND P2 IS NOT NULL
    AND (line % {EVERY} = 0 OR greatest(P1::DOUBLE, P2::DOUBLE) > {STRIKING})
ORDER BY line
"""

Row = tuple[str, str, str]
"""Sensor, P1 and P2 as they stand in the archive."""


def chosen(path: Path) -> list[Row]:
    return duckdb.sql(CHOSEN.format(path=path)).fetchall()


def send_all(port: int, token: str, rows: Sequence[Row]) -> Counter[int]:
    """Send one message a row over one connection; count the statuses."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    statuses: Counter[int] = Counter()
    for sensor_id, p1, p2 in rows:
        fields = airrohr_fields(SDS_P1=p1, SDS_P2=p2, signal="-61")
        body = msgspec.json.encode(
            {"esp8266id": sensor_id.removeprefix("esp8266-"), "sensordatavalues": fields}
        )
        headers = {"X-Sensor": sensor_id, "Authorization": f"Token {token}"}
        connection.request("POST", "/data.php", body, headers)
        answer = connection.getresponse()
        answer.read()
        statuses[answer.status] += 1
    connection.close()
    return statuses


def test_aberdeens_values_come_through_and_those_of_dead_fans_are_flagged(
    server: NodeProcess, gateway: str, data: Path
) -> None:
    rows = chosen(data / "readings/aberdeen/sds011.csv.gz")
    sensors = sorted({sensor_id for sensor_id, _, _ in rows})
    for number, sensor_id in enumerate(sensors):
        place = reading(spot_number(1000 + number), sensor_id, values={"co": 0.1})
        send(server, gateway, place)
    parts = [rows[start::CONNECTIONS] for start in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        statuses = sum(
            pool.map(send_all, [server.port] * len(parts), [gateway] * len(parts), parts),
            Counter[int](),
        )
    assert statuses == {200: len(rows)}
    server.flush()
    found = stored(server.data_dir, "sensor_id, pm10, pm25, flags", "WHERE co IS NULL")
    sent = Counter((sensor_id, float(p1), float(p2)) for sensor_id, p1, p2 in rows)
    assert Counter(row[:3] for row in found) == sent
    beyond = Counter(
        key for key in sent.elements() if key[1] > HIGHEST["pm10"] or key[2] > HIGHEST["pm25"]
    )
    assert beyond
    assert Counter(row[:3] for row in found if "range" in row[3].split(",")) == beyond
