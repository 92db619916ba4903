"""What the process does with memory: garbage is found in small pieces, and what is free goes back.

Both are of the process as a whole: CPython's collector and the C library's allocator.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import anyio

YOUNG: Final = 5_000
"""So many objects more than there were make the collector look at the young ones.

With CPython's 700, most that it sees belong to requests under way: 4 % of the time of a POST.
"""
GROWTH: Final = 2
"""All is looked through again once so many times as much is set aside as there was then."""
LOOK_EVERY_S: Final = 60.0
LARGE_BYTES: Final = 4 << 20
"""A block as large comes from the system by itself, and goes back when it is freed."""
KEPT_BYTES: Final = 16 << 20
"""What stays free at the end of a heap: less would come and go with each batch."""
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Both of glibc's `malloc.h`."""


def keep_large_blocks_apart() -> None:
    """Let what large arrays took go back to the system as soon as they are gone.

    Left alone, glibc raises the size from which blocks are got one by one with each larger one that
    is freed, up to 32 MiB. Then arrays of an hour's readings lie among small objects, and leave
    holes of hundreds of MiB there.
    """
    with suppress(AttributeError):  # a C library other than glibc
        choose = ctypes.CDLL(None).mallopt
        choose(_M_MMAP_THRESHOLD, LARGE_BYTES)
        choose(_M_TRIM_THRESHOLD, KEPT_BYTES)


def give_back() -> None:
    """Let the system have the memory that was freed.

    The C library keeps it, since it lies between blocks that are still in use.
    """
    with suppress(AttributeError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)


class Garbage:
    """Lets the collector of garbage look at each object that stays once, instead of ever again.

    It holds the interpreter lock meanwhile: with a thousand WebSockets a look at everything takes
    100 ms and more, in which nobody is answered. So what has outlived such a look is set aside.
    What becomes garbage there later, in a circle, stays until what is set aside has doubled; then
    all of it is looked through.
    """

    def __init__(self) -> None:
        self._settled = 0

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Set aside what is there now, and from now on what outlives a look at everything."""
        former = gc.get_threshold()
        gc.set_threshold(YOUNG, *former[1:])
        gc.callbacks.append(_freeze_what_is_left)
        try:
            self.look_through()
            yield
        finally:
            gc.callbacks.remove(_freeze_what_is_left)
            gc.set_threshold(*former)
            gc.unfreeze()

    def look_through(self) -> None:
        """Find all garbage there is."""
        gc.unfreeze()
        gc.collect()
        self._settled = gc.get_freeze_count()

    async def look_through_forever(self) -> None:
        """Find the garbage in what is set aside, each time it has doubled."""
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            if gc.get_freeze_count() > GROWTH * self._settled:
                self.look_through()


def _freeze_what_is_left(phase: str, about: dict[str, Any]) -> None:
    if phase == "stop" and about["generation"] == 2:
        gc.freeze()
