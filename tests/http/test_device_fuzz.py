"""Mutated messages of devices at a real node: no 5xx, and the statuses that each protocol has."""

from __future__ import annotations

import random
from typing import Final

from tests import devices
from tests.http.sending import Spot, moment, now_us, reading, send, stored_of
from tests.processes import NodeProcess
from tests.test_device_fuzz import mutated

CASES: Final = 600
FORBIDDEN: Final = 403
"""What a registered sensor gets that comes without a token."""
DOORS: Final = {
    "/data.php": {200, 400, 422},
    "/v1/push-sensor-data/": {201, 400, 422},
    "/sensors/airgradient:ecda3b1eaaaf/measures": {200, 400, 422},
    "/v1.1/Observations": {201, 400, 422},
    "/v1.1/Datastreams(999)/Observations": {201, 400, 422},
    "/write?db=x": {204, 400},
    "/api/v2/write?bucket=x&org=y": {204, 400},
    "/api/v3/write_lp?db=x": {204, 400},
}


def test_mutated_messages_get_the_answers_of_their_protocol_and_the_node_goes_on(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    chance = random.Random(7)
    bodies = [*devices.JSON_DEVICES.values(), *devices.LINES.values()]
    for number in range(CASES):
        path = chance.choice(list(DOORS))
        body = mutated(chance.choice(bodies), chance)
        allowed, headers = DOORS[path], {"X-Sensor": "esp8266-5"}
        if number % 2:
            headers["Authorization"] = f"Bearer {gateway}"
        else:
            allowed = allowed | {FORBIDDEN}
        answer = server.client.post(path, content=body, headers=headers)
        assert answer.status_code in allowed, (path, body, answer.text)
    at_us = now_us()
    send(server, gateway, reading(spot, "after-all", at_us, timestamp=moment(at_us)))
    assert stored_of(server, "after-all") == [(9.0,)]
    assert "Traceback" not in server.log()
