"""Sockets that are slow in every way, and what they cost everybody else.

`python -m tests.faults.slow PORT COUNT` is the process of the slow ones: of each four one sends the
head of its request a byte a second, one the body, one never takes its answer, and one never asks.
Who is cut off comes again.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.http import Connection
from tests.faults.figures import Figures
from tests.faults.victim import ROOT, patience
from tests.http.sending import reading, send, spot_number
from tests.processes import NodeProcess

SOCKETS: Final = 500
REQUESTS: Final = 3000
"""In each half of a round: thirty are slower than the 99th percentile."""
MOST: Final = 2.0
"""How many times as long the others may wait."""
HEAD: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY: Final = b"POST /data.php HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
NOT_TAKEN: Final = b"GET /schema/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8
BEGUN: Final = (HEAD, BODY, NOT_TAKEN, b"")
DRIPS: Final = (HEAD, BODY)
LITTLE: Final = 4096
"""Bytes that who takes nothing has room for."""


def hold_up(folder: Path, rounds: int) -> Figures:
    """Ask in turn with nobody beside and with five hundred slow ones; compare the percentiles."""
    figures = Figures(f"{SOCKETS} slow sockets")
    node = NodeProcess(folder / "node", {})
    try:
        spot = spot_number(0)
        send(node, node.token(), reading(spot, "beside"))
        node.flush()
        targets = (f"/api/v1/grids/{spot.grid_id}/data", "/api/v1/sensors", "/api/v1/status", "/")
        alone, beside = [], []
        _p99_ms(node, targets)
        for _ in range(rounds):
            alone.append(_p99_ms(node, targets))
            with _slow_ones(node.port):
                beside.append(_p99_ms(node, targets))
            figures.rounds += 1
        if "Traceback" in node.log():
            figures.complaints.append(f"the node's log: …{node.log()[-2000:]}")
    finally:
        node.stop()
    ratio = statistics.median(beside) / statistics.median(alone)
    figures.more = {
        "p99_ms_alone": round(statistics.median(alone), 2),
        "p99_ms_beside": round(statistics.median(beside), 2),
        "ratio": round(ratio, 2),
        "load_per_core": round(patience(), 1),
    }
    if ratio >= MOST:
        figures.complaints.append(f"others wait {ratio:.2f} times as long")
    return figures


def _p99_ms(node: NodeProcess, targets: tuple[str, ...]) -> float:
    taken_ms = []
    with Connection(node.port) as connection:
        for number in range(REQUESTS):
            answer = connection.get(targets[number % len(targets)])
            assert answer.status == 200, answer
            taken_ms.append(answer.ms)
    return statistics.quantiles(taken_ms, n=100)[98]


@contextmanager
def _slow_ones(port: int) -> Iterator[None]:
    words = [sys.executable, "-m", "tests.faults.slow", str(port), str(SOCKETS)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline()) == SOCKETS
        yield
    finally:
        process.kill()
        process.wait()


async def _be_slow(port: int, begun: bytes, opened: asyncio.Semaphore) -> None:
    """Open a socket, begin what it does, and go on with it; a new one when it is cut off."""
    loop = asyncio.get_running_loop()
    while True:
        with socket.socket() as link:
            link.setblocking(False)
            if begun == NOT_TAKEN:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LITTLE)
            await loop.sock_connect(link, ("127.0.0.1", port))
            await loop.sock_sendall(link, begun)
            opened.release()
            try:
                while True:
                    await asyncio.sleep(1)
                    if begun in DRIPS:
                        await loop.sock_sendall(link, b"a")
            except OSError:
                continue


async def main() -> None:
    port, count = map(int, sys.argv[1:])
    opened = asyncio.Semaphore(0)
    slow = []
    for number in range(count):
        slow.append(asyncio.create_task(_be_slow(port, BEGUN[number % len(BEGUN)], opened)))
        await opened.acquire()
    sys.stdout.write(f"{count}\n")
    sys.stdout.flush()
    await asyncio.gather(*slow)


if __name__ == "__main__":
    asyncio.run(main())
