"""WebSocket clients that send whatever comes to their mind, and never wait for an answer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, Final

from tests.http.listening import masked, raw_listener
from tests.processes import NodeProcess

TEXT, BINARY, CLOSE, PING, PONG, GO_ON = 0x81, 0x82, 0x88, 0x89, 0x8A, 0x80
GRIDS: Final = ("z12-x2330-y1185", "z0-x0-y0", "z18-x262143-y262143", "z19-x0-y0", "z-1-x0-y0", "")
NUMBERS: Final = (0, 1, -1, 1 << 63, 1 << 64, 10**400, 1.5, None, "7", True)
KINDS: Final = ("subscribe-grid", "unsubscribe-grid", "resume", "ping", "pong", "", None, 7)
FIELDS: Final = ("gridId", "gridIds", "seq", "boot", "type", "\ud800", "x" * 300)
UNREADABLE: Final = ("", "null", "[]", "{", '{"type":', "NaN", '"' * 99, "[" * 5000, "\u0000")


def send_frames(node: NodeProcess, clients: int, frames: int, number: int) -> int:
    """Let clients come one after the other, each sending up to so many frames; how many it were.

    The node may cut a client off at any time; the next one then finds it as it was.
    """
    chance = random.Random(number)
    sent = 0
    for _ in range(clients):
        with raw_listener(node) as link:
            try:
                for _ in range(chance.randint(1, frames)):
                    link.sendall(frame(chance))
                    sent += 1
            except OSError:
                continue
    return sent


def frame(chance: random.Random) -> bytes:
    """One frame: most are JSON of a sort, some break the protocol itself (RFC 6455, 5)."""
    makers: tuple[Callable[[random.Random], bytes], ...] = (
        *(_nearly_right,) * 6,
        *(_unreadable,) * 2,
        _binary,
        _controlling,
        _broken,
    )
    return chance.choice(makers)(chance)


def _nearly_right(chance: random.Random) -> bytes:
    asked: dict[str, Any] = {"type": chance.choice(KINDS)}
    for name in chance.sample(FIELDS, chance.randint(0, 3)):
        asked[name] = chance.choice((_grids, _numbers, _nested))(chance)
    return masked(TEXT, json.dumps(asked).encode())


def _grids(chance: random.Random) -> Any:
    many = [chance.choice(GRIDS) for _ in range(chance.choice((0, 1, 3, 2000)))]
    return chance.choice((many, chance.choice(GRIDS), "z12-x" + "9" * 5000 + "-y1"))


def _numbers(chance: random.Random) -> Any:
    return chance.choice(NUMBERS)


def _nested(chance: random.Random) -> Any:
    return {"a": [chance.choice(NUMBERS), {"b": chance.choice(KINDS)}]}


def _unreadable(chance: random.Random) -> bytes:
    return masked(TEXT, chance.choice(UNREADABLE).encode())


def _binary(chance: random.Random) -> bytes:
    return masked(BINARY, chance.randbytes(chance.choice((0, 1, 125, 126, 70_000))))


def _controlling(chance: random.Random) -> bytes:
    content = chance.randbytes(chance.choice((0, 1, 2, 125)))
    return masked(chance.choice((CLOSE, PING, PONG)), content)


def _broken(chance: random.Random) -> bytes:
    return chance.choice(
        (
            masked(TEXT, b"\xff\xfe\xc3"),  # no UTF-8
            masked(TEXT, b"\xff") + masked(CLOSE, b"\x03\xe8"),  # that, and gone
            masked(GO_ON, b"of nothing"),
            masked(0x01, b'{"type":') + masked(TEXT, b"{}"),  # a new message within another
            masked(0xF1, b"reserved bits"),
            masked(0x83, b"reserved opcode"),
            masked(PING, bytes(126)),  # longer than a control frame may be
            b"\x81\x05hello",  # without a mask
            b"\x81\xff" + b"\xff" * 8 + bytes(4),  # longer than anything
            chance.randbytes(64),
        )
    )
