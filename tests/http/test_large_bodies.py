"""Bodies that are too large, or do not unpack: refused readably, in flat memory."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path

import httpx
import pytest

from tests.http.sending import INGEST, NDJSON, Spot, assert_is_error, reading, rows
from tests.processes import NodeProcess, wait_until
from urbanos_edge.access.bodies import AT_ONCE, FREE_BYTES
from urbanos_edge.access.shares import SHARE
from urbanos_edge.zstd import zstd

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
    packed = gzip.compress(body) if encoding == "gzip" else zstd.compress(body)
    headers = NDJSON | {"Content-Encoding": encoding}
    assert_is_error(server.post(broken(packed)[way], gateway, **headers), 400)
    server.flush()
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
    return zstd.compress(b"\0" * size, level=19)


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


class Slow:
    """A body that unpacks to much, comes in chunks, and never ends."""

    def __init__(self, server: NodeProcess, path: str, packed: bytes, token: str = "") -> None:
        self._link = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._link.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}"
            "Content-Encoding: zstd\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        self._send(packed)

    def _send(self, chunk: bytes) -> None:
        self._link.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    def end(self) -> tuple[bytes, bytes]:
        """Send its last chunk, and read the answer."""
        self._link.sendall(b"0\r\n\r\n")
        with self._link:
            return read_answer(self._link)

    def break_off(self) -> None:
        self._link.close()


def zeros(size: int) -> bytes:
    return bomb("zstd", size)


def held(server: NodeProcess) -> float:
    """Bytes of bodies that lie in the node, as its metrics tell."""
    lines = server.client.get("/metrics").text.splitlines()
    (line,) = (line for line in lines if line.startswith("urbanos_bodies_held_bytes "))
    return float(line.split()[1])


def test_who_shows_no_token_sends_a_mebibyte_at_most(server: NodeProcess) -> None:
    """Unpacked, as it arrives: what a device says has a few kilobytes."""
    forget_peak(server.pid)
    before = peak_memory(server.pid)
    for path in ("/data.php", "/write", "/api/v2/write", "/sensors/airgradient:x/measures"):
        for size in (2 * MIB, LIMIT):
            head, _ = Slow(server, path, zeros(size)).end()
            assert head.startswith(b"HTTP/1.1 413 "), (path, head)
    assert peak_memory(server.pid) - before < 2 * LIMIT


def test_bodies_that_never_end_take_no_more_than_their_share(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """Of one network two of the largest; small ones come in all the while, and room comes back."""
    share = AT_ONCE // SHARE
    slow = [Slow(server, INGEST, zeros(LIMIT - MIB), gateway) for _ in range(3 * share)]
    wait_until(lambda: held(server) >= share * (LIMIT - MIB - FREE_BYTES), 20, server.log)
    assert server.post(reading(spot), gateway).status_code == 202
    refused = [one.end() for one in slow]
    words = [json.loads(body)["error"]["code"] for _, body in refused]
    assert words.count("too_many_bodies") == 2 * share
    assert {head[9:12] for head, _ in refused} == {b"503", b"400"}
    wait_until(lambda: held(server) == 0, 20, server.log)


def test_a_body_that_is_broken_off_gives_its_room_back(server: NodeProcess, gateway: str) -> None:
    slow = Slow(server, INGEST, zeros(LIMIT - MIB), gateway)
    wait_until(lambda: held(server) > 0, 20, server.log)
    slow.break_off()
    wait_until(lambda: held(server) == 0, 20, server.log)
