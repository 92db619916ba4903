"""Who owns a data directory: the node that runs on it, or who asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from urbanos_edge import control
from urbanos_edge.errors import DirectoryInUse, EdgeError

T = TypeVar("T")
BUSY_S: Final = 10
"""How long a command waits while a node starts or stops, or another command is at work."""
COMES_BACK_S: Final = 5
"""How long a long command waits for a node that may be on its way back: systemd takes 2 s to start
one anew, and finds the directory in use for as long as somebody stands in."""


def by_owner(there: Callable[[], T], here: Callable[[], T], patience_s: float = 0) -> T:
    """What `there` returns when a node runs, else what `here` does, which owns the directory.

    Nobody stands in for a node before `patience_s` are over, nor for one that was reached: it may
    have done the work, and comes back.

    Raises:
        DirectoryInUse: somebody else owns it all the time, but does not answer.
        EdgeError: a node was reached and ended, or says nothing.
    """
    began_s = time.monotonic()
    while True:
        try:
            return there()
        except TimeoutError as error:
            raise EdgeError(
                "the node says nothing any more; it may still be at work, or hang: its log tells",
                code="silent",
            ) from error
        except control.Ended:
            raise
        except control.NotRunning:
            waited_s = time.monotonic() - began_s
        try:
            if waited_s >= patience_s:
                return here()
        except DirectoryInUse:
            if waited_s > BUSY_S:
                raise
        time.sleep(0.1)


def patience_s(data_dir: Path) -> float:
    """How long a long command waits before it stands in for a node."""
    return COMES_BACK_S if control.was_served(data_dir) else 0
