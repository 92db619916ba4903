"""Everything that can be asked, well and badly: no failure, and answers as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.fuzzed import Tally, fuzz
from tests.fuzzed_frames import send_frames
from tests.http.listening import listening, sensors_of
from tests.http.sending import moment, now_us, reading, send, spot_number
from tests.processes import NodeProcess

PER_OPERATION = 2
SPOT = spot_number(0)
KNOWN = {
    "sensor_id": ["fuzzed"],
    "grid_id": [SPOT.at_zoom(zoom) for zoom in (0, 12, 18)] + ["z19-x0-y0"],
    "gridIds": [SPOT.grid_id, f"{SPOT.grid_id},{SPOT.at_zoom(3)}"],
}
pytestmark = pytest.mark.filterwarnings("default")  # of what makes the requests, not of ours


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that has measured something, and that nobody asks too often."""
    process = NodeProcess(tmp_path_factory.mktemp("fuzz"), {"ingest_rate_limit": "1000000/second"})
    at_us = now_us()
    token = process.token()
    send(process, token, reading(SPOT, "fuzzed", at_us, timestamp=moment(at_us)))
    yield process
    process.stop()


@pytest.fixture(scope="module")
def document(node: NodeProcess) -> Any:
    return node.client.get("/schema/openapi.json").json()


def assert_is_as_the_document_says(node: NodeProcess, tally: Tally) -> None:
    assert not tally.complaints, "\n\n".join(tally.complaints.values())
    assert node.client.get("/health/ready").status_code == 200
    assert "Traceback" not in node.log()


def test_whatever_an_admin_asks_is_answered_as_the_document_says(
    node: NodeProcess, document: Any
) -> None:
    tally = fuzz(node, node.token("admin"), PER_OPERATION, 1, KNOWN)
    assert_is_as_the_document_says(node, tally)
    assert tally.operations == sum(map(len, document["paths"].values()))
    assert {200, 204, 400, 404, 422} <= tally.statuses.keys()


def test_whatever_a_stranger_asks_is_answered_as_the_document_says(node: NodeProcess) -> None:
    tally = fuzz(node, None, 1, 2, KNOWN)
    assert_is_as_the_document_says(node, tally)
    assert tally.statuses[401]


def test_every_schema_of_the_document_is_one(document: Any) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_numbers_that_no_letter_can_have_find_none(node: NodeProcess) -> None:
    """SQLite counts to 2^63 - 1."""
    headers = {"Authorization": f"Bearer {node.token('operator')}"}
    for number in (1 << 63, -(1 << 64)):
        listed = node.client.get(f"/api/v1/dead-letters?before={number}", headers=headers)
        assert listed.status_code == 200
        purged = node.client.request(
            "DELETE", "/api/v1/dead-letters", json={"ids": [number]}, headers=headers
        )
        assert purged.json() == {"purged": 0}


def test_clients_that_send_any_frames_leave_the_others_their_news(node: NodeProcess) -> None:
    token = node.token()
    with listening(node, SPOT.grid_id) as client:
        assert send_frames(node, clients=60, frames=30, number=3) >= 60
        send(node, token, reading(SPOT, "after-all"))
        assert "after-all" in sensors_of(client.hear())
    assert node.client.get("/health/ready").status_code == 200
    assert "Traceback" not in node.log()
