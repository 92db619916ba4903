"""Garbage that is set aside, and memory that goes back to the system."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import anyio
import pytest

from urbanos_edge import memory
from urbanos_edge.memory import Garbage

FREED_MIB = 64
FREED_BETWEEN_OTHERS = """
import re
import sys
from urbanos_edge.memory import give_back, keep_large_blocks_apart
def held_mib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10
freed_mib, block_mib, apart = map(int, sys.argv[1:])
if apart:
    keep_large_blocks_apart()
large = bytearray(24 << 20)
del large  # what was freed raises the size from which blocks are kept apart
blocks, between = [], []
for _ in range(freed_mib // block_mib):
    blocks.append(bytearray(b"x") * (block_mib << 20))
    between.append(bytes(2000 + len(blocks)))
begun = held_mib()
del blocks
freed = held_mib()
give_back()
print(begun - freed, begun - held_mib())
"""


class Node:
    """Something that can be part of a circle."""

    def __init__(self) -> None:
        self.other = self


def test_what_outlives_a_look_at_everything_is_not_looked_at_again() -> None:
    garbage = Garbage()
    with garbage.set_aside():
        kept = [Node() for _ in range(1000)]
        before = gc.get_freeze_count()
        gc.collect()
        assert gc.get_freeze_count() >= before + len(kept)
        seen = {id(one) for one in gc.get_objects()}
        assert not any(id(one) in seen for one in kept)
    assert gc.get_freeze_count() == 0


def test_circles_among_what_was_set_aside_are_found_by_a_look_through() -> None:
    garbage = Garbage()
    with garbage.set_aside():
        circle = Node()
        gc.collect()
        gone = weakref.ref(circle)
        del circle
        gc.collect()
        assert gone() is not None
        garbage.look_through()
        assert gone() is None


def test_a_look_through_comes_once_it_has_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LOOK_EVERY_S", 0.01)

    async def look_on() -> None:
        garbage = Garbage()
        with garbage.set_aside():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(garbage.look_through_forever)
                circle = Node()
                gc.collect()
                found = anyio.Event()
                gone = weakref.ref(circle, lambda _: found.set())
                del circle
                await anyio.sleep(0.1)
                assert gone() is not None
                kept = [Node() for _ in range(2 * gc.get_freeze_count())]
                gc.collect()
                with anyio.fail_after(10):
                    await found.wait()
                assert kept
                tasks.cancel_scope.cancel()

    anyio.run(look_on)


def freed_mib(block_mib: int, *, apart: bool) -> tuple[int, int]:
    """What blocks between others give back, by themselves and when it is asked for."""
    words = [sys.executable, "-c", FREED_BETWEEN_OTHERS]
    words += map(str, (FREED_MIB, block_mib, int(apart)))
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    by_itself, after = map(int, done.stdout.split())
    return by_itself, after


def test_what_was_freed_between_what_is_used_goes_back() -> None:
    by_itself, after = freed_mib(1, apart=False)
    assert by_itself < FREED_MIB * 0.5
    assert after > FREED_MIB * 0.9


def test_large_blocks_go_back_by_themselves_once_they_are_kept_apart() -> None:
    by_itself, _ = freed_mib(8, apart=True)
    assert by_itself > FREED_MIB * 0.9
