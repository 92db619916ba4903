"""What a device that is set up wrongly is told at the door reaches whoever looks after the node."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.http.test_inbox import PLACE, push
from tests.processes import NodeProcess, wait_until
from urbanos_edge.access.refusals import LOGGED_AN_HOUR, MAX_KEPT, MAX_LETTERS, Refusals
from urbanos_edge.clock import HOUR_US, Instant

LINE = b"air,node=a pm25=1"
WRONG = {"Authorization": "Token uoe_nobody", "User-Agent": "Telegraf/1.28.5"}
MISTAKES: dict[str, tuple[str, dict[str, str], int, str]] = {
    "a token that nobody knows": ("/write?db=air", WRONG, 401, "the token is unknown"),
    "a path that is none": ("/data", {}, 405, "there is nothing at this address"),
    "a path of the API that is none": ("/api/v1/ingest", {}, 404, "there is nothing"),
    "a name that is not the node's": (
        "/data.php",
        {"Host": "a.example"},
        421,
        "called 'a.example'",
    ),
    "a body that is not JSON": ("/data.php", {}, 400, "the body is not JSON"),
}


def turned_away(node: NodeProcess) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = node.ask("refused")
    return listed


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_usual_mistake_is_told_to_the_operator_and_to_the_log(
    server: NodeProcess, mistake: str
) -> None:
    path, headers, status, words = MISTAKES[mistake]
    for _ in range(2):
        assert server.client.post(path, content=LINE, headers=headers).status_code == status
    door = path.partition("?")[0]
    [told] = [one for one in turned_away(server) if (one["door"], one["status"]) == (door, status)]
    assert (told["address"], told["times"]) == ("127.0.0.1", 2)
    assert words in told["message"]
    assert told["device"] == headers.get("User-Agent", server.client.headers["user-agent"])
    logged = [line for line in server.log().splitlines() if f"at {door}: {status}, " in line]
    assert len(logged) == 1 and words in logged[0]


def test_who_speaks_https_to_the_plain_port_is_told_of(server: NodeProcess) -> None:
    with pytest.raises(httpx.TransportError), httpx.Client(verify=False) as client:
        client.post(f"https://127.0.0.1:{server.port}/data.php", content=LINE)
    wait_until(lambda: "it speaks HTTPS" in server.log(), 5, server.log)
    listed = json.loads(server.run("inbox", "refused", "--json").stdout)
    [told] = [one for one in listed if "HTTPS" in one["door"]]
    assert (told["address"], told["status"]) == ("127.0.0.1", 400)


def test_a_path_without_its_slash_is_told_of(server: NodeProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as device:
        device.sendall(b"POST data.php HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        assert device.recv(100).startswith(b"HTTP/1.1 400 ")
    told = [one for one in turned_away(server) if "begin the path with" in one["message"]]
    assert [(one["door"], one["status"]) for one in told] == [("the port without HTTPS", 400)]


def test_readers_and_reporters_leave_no_trace(server: NodeProcess) -> None:
    before = turned_away(server)
    assert server.client.get("/nowhere").status_code == 404
    assert server.client.post("/api/v1/reports", json={"lat": 91}).status_code == 422
    assert server.client.post("/api/v1/reports/99/approve").status_code == 401
    assert turned_away(server) == before


def test_a_sensor_at_a_new_address_is_named_and_claimed_again(
    start_node: Callable[..., NodeProcess],
) -> None:
    node = start_node(flush_interval_s=3600)
    push(node, "1", 4.0)
    node.run("inbox", "claim", "esp8266-1", *PLACE, "--rule", "address")
    assert push(node, "1", 5.0, "127.0.0.9").status_code == 403
    headers = {"Authorization": f"Bearer {node.token('operator')}"}
    [refused] = node.client.get("/api/v1/inbox", headers=headers).json()["disbelieved"]
    assert refused | {"at": ""} == {
        "sender": "esp8266-1",
        "sensor_id": "esp8266-1",
        "rule": "address",
        "messages": 1,
        "address": "127.0.0.9",
        "at": "",
    }
    assert turned_away(node)[0]["message"] == "'esp8266-1' is known at another address"
    node.run("inbox", "claim", "esp8266-1", "--rule", "address")
    assert push(node, "1", 6.0, "127.0.0.9").status_code == 200
    assert node.client.get("/api/v1/inbox", headers=headers).json()["disbelieved"] == []


def test_strangers_fill_neither_memory_nor_log(caplog: pytest.LogCaptureFixture) -> None:
    now_us = 0
    kept = Refusals(lambda: Instant(now_us, 0))
    for number in range(MAX_KEPT + 5):
        kept.note(f"192.0.2.{number}", "/x\n" + "y" * 500, "\x1b[2J", 404, "nothing")
    assert len(kept.list()) == MAX_KEPT
    assert [one.address for one in kept.list()[-1:]] == ["192.0.2.5"]
    assert kept.list()[0].door == "/x?" + "y" * (MAX_LETTERS - 3)
    assert kept.list()[0].device == "?[2J"
    assert len(caplog.records) == LOGGED_AN_HOUR
    now_us += HOUR_US
    kept.note("192.0.2.200", "/", "", 404, "nothing")
    assert len(caplog.records) == LOGGED_AN_HOUR + 1
