"""Bodies that are too large, or do not unpack: refused readably, in flat memory."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path

import httpx
import pytest
import zstandard

from tests.http.sending import INGEST, NDJSON, Spot, assert_is_error, flush, reading, rows
from tests.processes import NodeProcess

MIB = 1 << 20
LIMIT = 16 * MIB
"""The contract's `max_body_mib`."""


def template(spot: Spot, sensor_id: str = "bad") -> str:
    return json.dumps(reading(spot, sensor_id))


def broken(packed: bytes) -> dict[str, bytes]:
    """Ways a packed body goes wrong."""
    return {
        "cut short": packed[:-5],
        "damaged": packed[:20] + b"\xff\x00\xff" + packed[23:],
        "not packed": b'{"sensor_id":"plain"}',
        "empty": b"",
        "followed by something else": packed + b"something else",
    }


@pytest.mark.parametrize("way", broken(b""))
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_that_does_not_unpack_is_refused_whole(
    server: NodeProcess, gateway: str, spot: Spot, encoding: str, way: str
) -> None:
    body = template(spot, "packed").encode() * 10
    packed = gzip.compress(body) if encoding == "gzip" else zstandard.compress(body)
    headers = NDJSON | {"Content-Encoding": encoding}
    assert_is_error(server.post(broken(packed)[way], gateway, **headers), 400)
    flush(server)
    assert rows(server, spot.grid_id) == []


def test_a_body_of_exactly_the_limit_is_read(server: NodeProcess, gateway: str, spot: Spot) -> None:
    body = template(spot, "padded").encode()
    answer = server.post(body + b" " * (LIMIT - len(body)), gateway)
    assert answer.status_code == 202


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [LIMIT + 1, 20 * MIB, 32 * MIB])
def test_a_body_over_the_limit_gets_a_readable_answer(
    server: NodeProcess, gateway: str, size: int, chunked: bool
) -> None:
    whole = b" " * size
    content = (whole[at : at + MIB] for at in range(0, size, MIB)) if chunked else whole
    headers = {"Authorization": f"Bearer {gateway}", "Content-Type": "application/json"}
    answer = server.client.post(INGEST, content=content, headers=headers)
    assert_is_error(answer, 413)


def test_the_answer_is_there_for_a_client_that_sends_all_before_it_reads(
    server: NodeProcess, gateway: str
) -> None:
    for connection in ("keep-alive", "close"):
        head, body = send_blindly(server, gateway, 20 * MIB, connection)
        assert head.startswith(b"HTTP/1.1 413 "), (connection, head)
        assert json.loads(body)["error"]["code"]


def test_the_answer_can_be_read_while_the_body_is_still_being_sent(
    server: NodeProcess, gateway: str
) -> None:
    """More than is drained: the answer comes although the client never ends."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as link:
        link.sendall(request_head(gateway, 40 * MIB))
        for _ in range(33):
            link.sendall(b" " * MIB)
        assert read_answer(link)[0].startswith(b"HTTP/1.1 413 ")


def send_blindly(
    server: NodeProcess, token: str, size: int, connection: str
) -> tuple[bytes, bytes]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as link:
        link.sendall(request_head(token, size, connection))
        for _ in range(size // MIB):
            link.sendall(b" " * MIB)
        return read_answer(link)


def request_head(token: str, size: int, connection: str = "keep-alive") -> bytes:
    return (
        f"POST {INGEST} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {size}\r\n"
        f"Connection: {connection}\r\n\r\n"
    ).encode()


def read_answer(link: socket.socket) -> tuple[bytes, bytes]:
    """The head and the body of the one answer on a connection."""
    with link.makefile("rb") as stream:
        head = b"".join(iter(stream.readline, b"\r\n"))
        (length,) = (
            int(line.split(b":")[1])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length:")
        )
        return head, stream.read(length)


def test_a_body_of_forty_mebibytes_is_refused(server: NodeProcess, gateway: str) -> None:
    body = b" " * (40 * MIB)
    headers = {"Authorization": f"Bearer {gateway}", "Content-Type": "application/json"}
    try:
        assert_is_error(server.client.post(INGEST, content=body, headers=headers), 413)
    except httpx.WriteError:
        pass  # beyond twice the limit the node may hang up
    assert server.client.get("/health/live").status_code == 200


def bomb(encoding: str, size: int) -> bytes:
    """Zeros, packed as tightly as the encoding can."""
    if encoding == "gzip":
        return gzip.compress(b"\0" * size, 9)
    return zstandard.ZstdCompressor(level=19).compress(b"\0" * size)


def peak_memory(pid: int) -> int:
    """Bytes of the process's memory at its highest since the last `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    (kib,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kib) << 10


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused_in_flat_memory(server: NodeProcess, gateway: str, encoding: str) -> None:
    """What it unpacks to never lies in memory: at most a body of the limit, and room to grow it."""
    packed = bomb(encoding, 200 * MIB)
    headers = {"Content-Encoding": encoding}
    forget_peak(server.pid)
    before = peak_memory(server.pid)
    for _ in range(3):
        assert_is_error(server.post(packed, gateway, **headers), 413)
    assert peak_memory(server.pid) - before < 6 * LIMIT


def test_what_is_drained_is_not_kept(server: NodeProcess, gateway: str) -> None:
    forget_peak(server.pid)
    before = peak_memory(server.pid)
    for _ in range(3):
        assert_is_error(server.post(b" " * (30 * MIB), gateway), 413)
    assert peak_memory(server.pid) - before < 6 * LIMIT
