"""Many requests on one connection, sent without waiting for the answers."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path

from tests.http.sending import Spot, reading, stored_of
from tests.processes import NodeProcess

MANY = 200_000
SILENT_S = 1.5
"""When the node takes nothing for so long, it waits for the client to read."""
CLIENT_BUFFER_BYTES = 64 << 10
ROOM_MIB = 32
"""What a connection may cost at the very most; each of the requests would cost some kilobytes."""


def rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def push(link: socket.socket, requests: bytes) -> int:
    """Send until all is sent or the node has taken nothing for a while; return how much was."""
    link.settimeout(SILENT_S)
    left = memoryview(requests)
    try:
        while left:
            left = left[link.send(left[: 1 << 18]) :]
    except TimeoutError:
        pass
    return len(requests) - len(left)


def test_requests_whose_answers_nobody_reads_take_no_memory(server: NodeProcess) -> None:
    path = "/schema/openapi.json"
    server.client.get(path)
    before_mib = rss_mib(server.pid)
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CLIENT_BUFFER_BYTES)
        link.connect(("127.0.0.1", server.port))
        push(link, get(path) * MANY)
        most_mib = 0.0
        for _ in range(20):
            time.sleep(0.1)
            most_mib = max(most_mib, rss_mib(server.pid))
        assert server.client.get("/health/live").status_code == 200
    assert most_mib - before_mib < ROOM_MIB


def test_a_long_pipeline_is_answered_whole_and_in_order(server: NodeProcess) -> None:
    grids = [f"z12-x{number}-y7" for number in range(3000)]
    requests = b"".join(get(f"/api/v1/grids/{grid}") for grid in grids)
    last = get("/nowhere").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as link:
        sender = threading.Thread(target=link.sendall, args=(requests + last,))
        sender.start()
        received = b"".join(iter(lambda: link.recv(1 << 18), b""))
        sender.join()
    answered = re.findall(rb'"grid_id":"(z12-x\d+-y7)"', received)
    assert [grid.decode() for grid in answered] == grids
    assert received.count(b"HTTP/1.1 404") == 1


def test_bodies_in_a_pipeline_arrive_whole(server: NodeProcess, gateway: str, spot: Spot) -> None:
    """Each is larger than what is parsed at a time, and than what may wait for a route."""
    padding = b" " * 100_000
    pieces = []
    for number in range(20):
        body = server.client.build_request("POST", "/", json=reading(spot, f"piped-{number}"))
        content = body.content + padding
        head = (
            "POST /api/v1/data/ingest HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {gateway}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        pieces += [get("/health/live"), head.encode(), content]
    last = get("/nowhere").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as link:
        sender = threading.Thread(target=link.sendall, args=(b"".join([*pieces, last]),))
        sender.start()
        received = b"".join(iter(lambda: link.recv(1 << 18), b""))
        sender.join()
    assert received.count(b"HTTP/1.1 202") == 20
    assert received.count(b"HTTP/1.1 200") == 20
    assert all(len(stored_of(server, f"piped-{number}")) == 1 for number in (0, 19))


def test_a_request_cut_anywhere_after_waiting_ones_is_answered(server: NodeProcess) -> None:
    """What was held back ends within a request: the node must go on reading."""
    together = get("/health/live") * 40
    for cut in (1, 5, 20, len(get("/health/live")) - 1):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as link:
            link.sendall(together + get("/nowhere")[:cut])
            time.sleep(0.1)
            link.sendall(get("/nowhere")[cut:])
            received = b""
            while b"HTTP/1.1 404" not in received:
                received += link.recv(1 << 16)
            assert received.count(b"HTTP/1.1 200") == 40
