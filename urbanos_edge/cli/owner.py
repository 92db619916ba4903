"""Who owns a data directory: the node that runs on it, or who asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from urbanos_edge import control
from urbanos_edge.errors import DirectoryInUse

T = TypeVar("T")
BUSY_S: Final = 10
"""How long a command waits while a node starts or stops, or another command is at work."""


def by_owner(there: Callable[[], T], here: Callable[[], T]) -> T:
    """What `there` returns when a node runs, else what `here` does, which owns the directory.

    Raises:
        DirectoryInUse: somebody else owns it all the time, but does not answer.
    """
    deadline_s = time.monotonic() + BUSY_S
    while True:
        with suppress(control.NotRunning):
            return there()
        try:
            return here()
        except DirectoryInUse:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
