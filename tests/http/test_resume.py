"""Who comes back hears what it missed, over `/ws` and over events, which say the same."""

from __future__ import annotations

from contextlib import ExitStack

import httpx
import pytest

from tests.http.listening import (
    WITHIN_S,
    Client,
    Frame,
    crowd,
    events,
    listening,
    sensors_of,
)
from tests.http.sending import Spot, reading, send
from tests.processes import NodeProcess, wait_until


@pytest.mark.parametrize("order", ["subscribe first", "resume first"])
def test_who_comes_back_hears_exactly_what_it_missed(
    server: NodeProcess, gateway: str, spot: Spot, other_spot: Spot, order: str
) -> None:
    """It was the only listener; grids it did not follow stay silent."""
    with listening(server, spot.grid_id) as client:
        send(server, gateway, reading(spot, "r0"))
        last = client.hear()
    for n in (1, 2, 3):
        send(server, gateway, reading(spot, f"r{n}"))
        send(server, gateway, reading(other_spot, f"o{n}"))
    with listening(server) as client:
        come_back(client, spot, last, order)
        missed = client.heard_until_now()
        assert [sensors_of(frame) for frame in missed] == [{"r1"}, {"r2"}, {"r3"}]
        assert {frame["gridId"] for frame in missed} == {spot.grid_id}
        assert last["seq"] < missed[0]["seq"] < missed[1]["seq"] < missed[2]["seq"]
        send(server, gateway, reading(spot, "r4"))
        assert sensors_of(client.hear()) == {"r4"}


def come_back(client: Client, spot: Spot, last: Frame, order: str) -> None:
    resume = {"seq": last["seq"], "boot": last["boot"]}
    if order == "resume first":
        client.say("resume", **resume)
    client.say("subscribe-grid", gridId=spot.grid_id)
    if order == "subscribe first":
        client.say("resume", **resume)


def test_what_was_missed_is_what_others_heard(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    with listening(server, spot.grid_id) as faithful:
        send(server, gateway, reading(spot, "f0"))
        first = faithful.hear()
        for n in (1, 2):
            send(server, gateway, reading(spot, f"f{n}"))
        heard = [faithful.hear(), faithful.hear()]
        with listening(server, spot.grid_id) as client:
            client.say("resume", seq=first["seq"], boot=first["boot"])
            assert client.heard_until_now() == heard


def test_who_missed_nothing_hears_nothing(server: NodeProcess, gateway: str, spot: Spot) -> None:
    with listening(server, spot.grid_id) as client:
        send(server, gateway, reading(spot, "seen"))
        last = client.hear()
    with listening(server, spot.grid_id) as client:
        client.say("resume", seq=last["seq"], boot=last["boot"])
        assert client.heard_until_now() == []


def test_who_missed_much_gets_all_of_it(server: NodeProcess, gateway: str, spot: Spot) -> None:
    """Four full frames are more than may wait for a slow client; this one is not slow."""
    with listening(server, spot.grid_id) as client:
        send(server, gateway, reading(spot, "start"))
        last = client.hear()
    for _ in range(4):
        send(server, gateway, *crowd(spot, 100))
    with listening(server, spot.grid_id) as client:
        client.say("resume", seq=last["seq"], boot=last["boot"])
        missed = client.heard_until_now()
    assert [frame["data"]["count"] for frame in missed] == [100] * 4


@pytest.mark.parametrize("change", [{"boot": "another"}, {"boot": ""}, {"seq": 10**9}])
def test_what_cannot_be_resumed_is_answered_with_resync(
    server: NodeProcess, gateway: str, spot: Spot, change: Frame
) -> None:
    status = server.status()
    with listening(server, spot.grid_id) as client:
        client.say("resume", **{"seq": status["seq"], "boot": status["boot"]} | change)
        (answer,) = client.heard_until_now()
        assert answer["type"] == "resync"
        send(server, gateway, reading(spot, "after-resync"))
        assert client.hear()["gridId"] == spot.grid_id


def test_a_grid_nobody_followed_is_answered_with_resync(
    server: NodeProcess, gateway: str, spot: Spot, other_spot: Spot
) -> None:
    """What happened there was not kept, so what was missed is not known."""
    with listening(server, spot.grid_id) as client:
        send(server, gateway, reading(spot, "kept"))
        last = client.hear()
    send(server, gateway, reading(other_spot, "lost"), reading(spot, "kept-too"))
    with listening(server, other_spot.grid_id) as client:
        client.say("resume", seq=last["seq"], boot=last["boot"])
        assert [frame["type"] for frame in client.heard_until_now()] == ["resync"]


# --- server-sent events ---


def test_events_carry_what_the_web_socket_carries(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    grids = (spot.grid_id, spot.at_zoom(4))
    with listening(server, *grids) as client, events(server, *grids) as following:
        send(server, gateway, *crowd(spot, 3))
        heard = [client.hear(), client.hear()]
        assert [following()[1], following()[1]] == heard


@pytest.mark.parametrize("others", [True, False])
def test_an_event_stream_is_resumed_by_its_last_id(
    server: NodeProcess, gateway: str, spot: Spot, other_spot: Spot, others: bool
) -> None:
    with events(server, spot.grid_id) as following:
        send(server, gateway, reading(spot, "e0"))
        last_id, _ = following()
    with ExitStack() as stack:
        if others:
            stack.enter_context(listening(server, spot.grid_id))
        for n in (1, 2):
            send(server, gateway, reading(spot, f"e{n}"), reading(other_spot, f"o{n}"))
        with events(server, spot.grid_id, last_event=last_id) as following:
            assert [sensors_of(following()[1]) for _ in range(2)] == [{"e1"}, {"e2"}]
            send(server, gateway, reading(spot, "e3"))
            assert sensors_of(following()[1]) == {"e3"}


def test_events_of_another_boot_begin_with_resync(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    with events(server, spot.grid_id) as following:
        send(server, gateway, reading(spot, "boot"))
        last_id, frame = following()
    strange = last_id.replace(frame["boot"], "another")
    with events(server, spot.grid_id, last_event=strange) as following:
        assert following()[1]["type"] == "resync"
        send(server, gateway, reading(spot, "boot-2"))
        assert sensors_of(following()[1]) == {"boot-2"}


@pytest.mark.parametrize("last_event", ["garbage", "a:b", ":", "x:-1", f"x:{'9' * 5000}"])
def test_a_strange_last_id_is_no_failure(server: NodeProcess, spot: Spot, last_event: str) -> None:
    """It is answered with a stream that begins with resync, or refused as the client's fault."""
    address = f"{server.url}/api/v1/live"
    headers = {"Last-Event-ID": last_event}
    with httpx.stream("GET", address, params={"gridIds": spot.grid_id}, headers=headers) as answer:
        assert answer.status_code in (200, 400, 422)


@pytest.mark.parametrize(
    "query", ["", "?gridIds=", "?gridIds=garbage", "?gridIds=z99-x0-y0", "?gridIds=z1-x0-y0,,"]
)
def test_events_of_no_grid_are_refused(server: NodeProcess, query: str) -> None:
    answer = server.client.get(f"/api/v1/live{query}")
    assert answer.status_code in (400, 422)
    assert answer.json()["error"].keys() == {"code", "message", "details"}


def test_the_head_of_an_event_stream_ends(server: NodeProcess, spot: Spot) -> None:
    """The connection is free for the next request, and nobody listens."""
    before = server.status()["listeners"]
    with httpx.Client(base_url=server.url, timeout=WITHIN_S) as client:
        answer = client.head("/api/v1/live", params={"gridIds": spot.grid_id})
        assert answer.status_code in (200, 405)
        assert client.get("/health/live").status_code == 200
    wait_until(lambda: server.status()["listeners"] == before, WITHIN_S)


def test_an_event_stream_that_is_left_is_forgotten(server: NodeProcess, spot: Spot) -> None:
    before = server.status()["listeners"]
    with events(server, spot.grid_id):
        assert server.status()["listeners"] == before + 1
    wait_until(lambda: server.status()["listeners"] == before, WITHIN_S)
