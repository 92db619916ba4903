"""What is refused is gone at once: nothing of it waits for the collector, in a circle."""

from __future__ import annotations

import gc
import gzip
import tracemalloc
from collections.abc import Callable
from typing import cast

import pytest
from litestar.types import Receive

from urbanos_edge.access.bodies import UNKNOWN_BYTES, Bodies
from urbanos_edge.api import ingest
from urbanos_edge.api.body import read_body
from urbanos_edge.errors import BodyTooLarge, EdgeError, ReadingRejected, Unauthorized
from urbanos_edge.ingest.receipt import Receipt
from urbanos_edge.ingest.reception import Arrival
from urbanos_edge.node import Node
from urbanos_edge.zstd import zstd

ZEROS = bytes(16 << 20)
LARGE = zstd.compress(ZEROS)
"""A kilobyte that unpacks to more than anybody may send without a token."""


def circles_after(refused: type[EdgeError], act: Callable[[], object]) -> int:
    """How many objects only the collector finds once an act was refused."""
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(refused) as caught:
            act()
        del caught
        return gc.collect()
    finally:
        gc.enable()


def test_a_body_that_is_too_large_leaves_no_circle() -> None:
    async def arrive() -> dict[str, object]:
        return {"type": "http.request", "body": LARGE, "more_body": False}

    def read() -> None:
        with Bodies(UNKNOWN_BYTES).one("192.0.2.1") as room:
            read_body(cast(Receive, arrive), "zstd", room, UNKNOWN_BYTES).send(None)

    assert circles_after(BodyTooLarge, read) == 0


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", gzip.compress(ZEROS)), ("zstd", LARGE)])
def test_of_a_body_that_is_too_large_no_more_is_unpacked_than_shows_it(
    encoding: str, packed: bytes
) -> None:
    async def arrive() -> dict[str, object]:
        return {"type": "http.request", "body": packed, "more_body": False}

    tracemalloc.start()
    try:
        with (
            Bodies(UNKNOWN_BYTES).one("192.0.2.1") as room,
            pytest.raises(BodyTooLarge),
        ):
            read_body(cast(Receive, arrive), encoding, room, UNKNOWN_BYTES).send(None)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * UNKNOWN_BYTES


def test_a_wrong_token_leaves_no_circle(node: Node) -> None:
    came = Arrival("json", authorization="Bearer uoe_nobody's", user="uoe_nobody's either")
    assert circles_after(Unauthorized, lambda: node.reception._token(came)) == 0


def test_a_rejected_reading_leaves_no_circle() -> None:
    def answer() -> None:
        ingest._one(Receipt(errors=[ReadingRejected("too old", code="too_old")]))

    assert circles_after(ReadingRejected, answer) == 0
