"""Many clients, slow ones, and those that went away: none of them costs the others anything."""

from __future__ import annotations

import time
from contextlib import ExitStack

import httpx

from tests.http.listening import (
    WITHIN_S,
    Client,
    crowd,
    end_of,
    listening,
    masked,
    narrow_link,
    raw_listener,
    reset,
    sensors_of,
    subscription,
)
from tests.http.sending import Spot, reading, send
from tests.processes import NodeProcess, wait_until

STALLED_S = 20
"""The kernel's buffers take some megabytes before a client that does not read is noticed."""


def ladder(spot: Spot) -> list[str]:
    """Five grids around a spot: what happens there is told five times."""
    return [spot.at_zoom(zoom) for zoom in (8, 10, 12, 14, 16)]


def test_a_client_that_keeps_up_hears_all_its_grids_of_a_large_change(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """Five full frames of one flush are more than 64 KiB; nobody was slow."""
    grids = ladder(spot)
    with listening(server, *grids) as client:
        send(server, gateway, *crowd(spot, 100))
        assert {client.hear()["gridId"] for _ in grids} == set(grids)
        send(server, gateway, *crowd(spot, 100))
        assert {client.hear()["gridId"] for _ in grids} == set(grids)


def test_a_client_that_vanishes_is_forgotten(server: NodeProcess, spot: Spot) -> None:
    before = server.status()["listeners"]
    with raw_listener(server) as link:
        link.sendall(masked(0x81, b'{"type":"ping"}'))
        assert server.status()["listeners"] == before + 1
    wait_until(lambda: server.status()["listeners"] == before, WITHIN_S)


def test_a_stalled_client_is_cut_and_others_keep_hearing(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    with listening(server, spot.grid_id) as faithful, raw_listener(server) as stalled:
        stalled.sendall(subscription(*ladder(spot)))
        tell_until_cut(server, gateway, spot, faithful)
        assert end_of(stalled) in (None, 1013)  # none when no frame could be passed on any more


def test_a_stalled_event_stream_is_cut_and_others_keep_hearing(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    grids = ",".join(ladder(spot))
    request = f"GET /api/v1/live?gridIds={grids} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with listening(server, spot.grid_id) as faithful, narrow_link(server) as stalled:
        stalled.sendall(request.encode())
        tell_until_cut(server, gateway, spot, faithful)
        assert end_of(stalled) is None


def tell_until_cut(server: NodeProcess, token: str, spot: Spot, faithful: Client) -> None:
    """Send news, all of which one client hears, until the other listener is gone."""
    wait_until(lambda: server.status()["listeners"] == 2, WITHIN_S)
    deadline_s = time.monotonic() + STALLED_S
    while server.status()["listeners"] == 2:
        send(server, token, *crowd(spot, 100))
        assert faithful.hear()["data"]["count"] == 100
        assert time.monotonic() < deadline_s, "the stalled client is still there"
    send(server, token, reading(spot, "after"))
    assert sensors_of(faithful.hear()) == {"after"}


def test_who_pings_without_reading_is_not_answered_ping_by_ping(server: NodeProcess) -> None:
    """What its answers would fill is the memory; the last ping is answered once it reads."""
    burst = masked(0x89, bytes(125)) * 1000
    with raw_listener(server) as link:
        for _ in range(200):
            link.sendall(burst)
        link.sendall(masked(0x89, b"last"))
        read_bytes, end = 0, b""
        while not end.endswith(b"\x8a\x04last"):
            piece = link.recv(1 << 20)
            assert piece, "it was cut"
            read_bytes, end = read_bytes + len(piece), (end + piece)[-6:]
    assert read_bytes < 200 * len(burst) / 2, "the kernel alone holds some megabytes"


def test_a_client_that_vanishes_under_way_is_no_incident(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """It leaves without a word while frames are on their way to it."""
    before = server.status()["listeners"]
    for _ in range(5):
        with raw_listener(server) as link:
            link.sendall(subscription(spot.grid_id))
            wait_until(lambda: server.status()["listeners"] == before + 1, WITHIN_S)
            send(server, gateway, *crowd(spot, 100))
            reset(link)
        wait_until(lambda: server.status()["listeners"] == before, WITHIN_S)
    assert "Traceback" not in server.log(), server.log()


def test_fifty_clients_hear_the_same(server: NodeProcess, gateway: str, spot: Spot) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(listening(server, spot.grid_id)) for _ in range(50)]
        send(server, gateway, reading(spot, "shared"))
        frames = [client.hear() for client in clients]
    assert all(frame == frames[0] for frame in frames)


def test_grids_that_nobody_follows_any_more_make_room_for_others(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """Nine clients looked at a thousand grids each and went away."""
    for row in range(9):
        with listening(server, *[f"z18-x{column}-y{row}" for column in range(1000)]):
            pass
    with listening(server, spot.grid_id) as client:
        send(server, gateway, reading(spot, "welcome"))
        assert client.hear()["gridId"] == spot.grid_id


def test_refused_event_streams_leave_no_listeners_behind(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """A thousand grids each time, as many times as would fill every room of the node."""
    for row in range(9):
        grids = ",".join(f"z18-x{column}-y{row + 100}" for column in range(1000))
        headers = {"Last-Event-ID": "garbage"}
        with httpx.stream(
            "GET", f"{server.url}/api/v1/live", params={"gridIds": grids}, headers=headers
        ) as answer:
            assert answer.status_code in (200, 400, 422)
    with listening(server, spot.grid_id) as client:
        send(server, gateway, reading(spot, "room-left"))
        assert client.hear()["gridId"] == spot.grid_id
