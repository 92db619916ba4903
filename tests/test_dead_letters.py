"""Dead letters: listed, sent again, thrown away; by command and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable

import anyio
import pytest

from tests.processes import NodeProcess
from urbanos_edge.adapters import node_json
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.grid import Tile
from urbanos_edge.health import health
from urbanos_edge.ingest import dead_letters
from urbanos_edge.ingest.sensors import Sensor
from urbanos_edge.node import Node
from urbanos_edge.tokens import Token


@pytest.fixture
def refused(start_node: Callable[..., NodeProcess]) -> NodeProcess:
    """A node that refused two readings: one without a place, one for its latitude."""
    node = start_node(flush_interval_s=0.2)
    answer = node.post(
        [
            {"sensor_id": "placeless", "values": {"pm25": 5}},
            {"sensor_id": "beyond", "location": {"lat": 91, "lng": 0}, "values": {"pm25": 5}},
        ],
        node.token("sensor", "placeless"),
    )
    assert answer.status_code == 422
    return node


def letters(node: NodeProcess) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = node.ask("dead_letters", {"limit": 100})
    return listed


def test_letters_say_what_was_refused_and_why(refused: NodeProcess) -> None:
    newest, oldest = json.loads(refused.run("dead-letters", "list", "--json").stdout)
    assert (oldest["code"], newest["code"]) == ("no_location", "invalid_reading")
    assert json.loads(str(oldest["payload"]))["sensor_id"] == "placeless"
    assert json.loads(str(newest["payload"]))["location"]["lat"] == 91


def test_a_letter_is_delivered_once_its_fault_is_mended(refused: NodeProcess) -> None:
    place = {
        "sensor_id": "placeless",
        "location": {"lat": 60.1, "lng": 24.9},
        "values": {"pm25": 6},
    }
    assert refused.post(place, refused.token()).status_code == 202
    refused.flush()
    number = str(letters(refused)[1]["id"])
    assert "1 readings accepted" in refused.run("dead-letters", "requeue", number).stderr
    refused.flush()
    assert refused.status()["store"]["rows"] == 2
    assert [letter["code"] for letter in letters(refused)] == ["invalid_reading"]


def test_a_letter_that_is_refused_again_is_a_letter_again(refused: NodeProcess) -> None:
    number = str(letters(refused)[0]["id"])
    ended = refused.run("dead-letters", "requeue", number, check=False)
    assert (ended.returncode, "refused again" in ended.stderr) == (1, True)
    newest, oldest = letters(refused)
    assert (oldest["code"], newest["code"]) == ("no_location", "invalid_reading")
    assert str(newest["id"]) != number


def test_a_letter_without_a_place_waits_in_the_inbox_once_it_is_sent_again(
    refused: NodeProcess,
) -> None:
    refused.run("dead-letters", "requeue", "--all")
    assert [letter["code"] for letter in letters(refused)] == ["invalid_reading"]
    [waiting] = refused.ask("inbox")
    assert (waiting["sender"], waiting["kept"]) == ("placeless", 1)


def test_letters_are_thrown_away_by_number_or_all(refused: NodeProcess) -> None:
    refused.run("dead-letters", "purge", str(letters(refused)[0]["id"]))
    assert len(letters(refused)) == 1
    refused.run("dead-letters", "purge", "--all")
    assert letters(refused) == []
    assert refused.run("dead-letters", "purge", check=False).returncode == 2
    assert refused.run("dead-letters", "purge", "1", check=False).returncode == 1


def test_operators_do_the_same_over_http(refused: NodeProcess) -> None:
    path = "/api/v1/dead-letters"
    operator = {"Authorization": f"Bearer {refused.token('operator')}"}
    gateway = {"Authorization": f"Bearer {refused.token()}"}
    assert refused.client.get(path).status_code == 401
    assert refused.client.get(path, headers=gateway).status_code == 403
    listed = refused.client.get(path, headers=operator).json()
    assert listed["count"] == 2
    older = refused.client.get(
        path, params={"before": listed["letters"][0]["id"]}, headers=operator
    ).json()
    assert older["letters"] == listed["letters"][1:]
    again = refused.client.post(f"{path}/requeue", json={"all": True}, headers=operator)
    assert again.json() == {"accepted": 0}
    purged = refused.client.request("DELETE", path, json={"all": True}, headers=operator)
    assert purged.json() == {"purged": 1}, "the other waits in the inbox"
    nothing = refused.client.request("DELETE", path, json={}, headers=operator)
    assert nothing.status_code == 422


def test_what_is_sent_again_is_as_old_as_its_letter(node: Node) -> None:
    """Also what a sensor's token left out: whose it was."""
    anyio.run(_register, node, "harbour", None)
    mine = Token(1, "sensor", "harbour", "", 0)
    sent = node_json.read_lines(b'{"values":{"pm25":5}}')
    assert anyio.run(node.ingest.accept, sent, mine).refused[0].code == "no_location"
    [letter] = node.dead_letters.list()
    assert json.loads(letter.payload)["sensor_id"] == "harbour"
    anyio.run(_register, node, "harbour", (60.1, 24.9))
    assert anyio.run(node.requeue, None) == 1
    anyio.run(node.flush)
    [row] = node.query.rows(Tile(0, 0, 0), 0)
    assert (row.sensor_id, row.timestamp) == ("harbour", to_rfc3339(letter.rejected_at_us))


def test_what_was_said_for_another_is_sent_again_by_its_number_alone(node: Node) -> None:
    anyio.run(_register, node, "victim", (60.1, 24.9))
    other = Token(1, "sensor", "other", "", 0)
    sent = node_json.read_lines(b'{"sensor_id":"victim","values":{"pm25":500}}')
    assert anyio.run(node.ingest.accept, sent, other).refused[0].code == "not_your_sensor"
    [letter] = node.dead_letters.list()
    assert anyio.run(node.requeue, None) == 0
    assert node.dead_letters.list() == [letter]
    assert anyio.run(node.requeue, [letter.id]) == 1


def test_a_letter_is_one_reading_however_it_is_laid_out(node: Node) -> None:
    """And what is no JSON is left as it is."""
    laid_out = b'{\n  "sensor_id": "a",\n  "values": {"pm25": "many"}\n}'
    kept = [dead_letters.DeadLetter(1, "code", "message", one) for one in (laid_out, b"pm25=5")]
    node.database.write_and_wait(lambda connection: dead_letters.bury(connection, kept))
    assert anyio.run(node.requeue, None) == 0
    again, untouched = node.dead_letters.list()
    assert (untouched.id, untouched.payload) == (2, "pm25=5")
    assert json.loads(again.payload)["sensor_id"] == "a"


async def _register(node: Node, sensor_id: str, place: tuple[float, float] | None) -> None:
    lat, lng = place or (None, None)
    await node.sensors.register([Sensor(sensor_id, sensor_id, lat, lng, "registered", 0)])


def test_only_the_newest_letters_are_kept_and_the_others_counted(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "MAX_LETTERS", 3)
    many = [dead_letters.DeadLetter(n, "code", "message", b"%d" % n) for n in range(10)]
    node.database.write_and_wait(lambda connection: dead_letters.bury(connection, many))
    assert [kept.payload for kept in node.dead_letters.list()] == ["9", "8", "7"]
    more = dead_letters.DeadLetter(10, "code", "message", b"10")
    node.database.write_and_wait(lambda connection: dead_letters.bury(connection, [more]))
    assert health.status(node)["totals"]["rejected_dropped"] == 7 + 1
