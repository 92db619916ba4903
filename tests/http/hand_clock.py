"""A node whose clock is set by hand: `python -m tests.http.hand_clock FILE serve …`.

FILE holds the time in microseconds since 1970, 8 bytes; whoever changes them sets the clock.
"""

from __future__ import annotations

import mmap
import struct
import sys
from pathlib import Path
from types import TracebackType
from unittest.mock import patch

from urbanos_edge.cli import main
from urbanos_edge.clock import Clock, Doubt, Instant, read_clocks

_TIME = struct.Struct("<q")


class HandClock:
    """The hand: `set_to` is what the node reads from then on."""

    def __init__(self, path: Path, at_us: int) -> None:
        path.write_bytes(_TIME.pack(at_us))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _TIME.size)

    def set_to(self, at_us: int) -> None:
        _TIME.pack_into(self._shared, 0, at_us)

    def __enter__(self) -> HandClock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._shared.close()


def serve(path: Path) -> None:
    """Run the command line with every clock of the node reading the file."""
    with path.open("rb") as file:
        shared = mmap.mmap(file.fileno(), _TIME.size, prot=mmap.PROT_READ)

    def read() -> Instant:
        return Instant(_TIME.unpack_from(shared)[0], read_clocks().since_boot_us)

    def by_hand(doubt: Doubt | None) -> Clock:
        return Clock(doubt, read, lambda: False)

    with patch("urbanos_edge.node.Clock", by_hand):
        main()


if __name__ == "__main__":
    serve(Path(sys.argv.pop(1)))
