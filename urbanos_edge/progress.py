"""How a long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[float, str], None]
"""Takes how far a work is, from 0 to 1, and what it does now; may be called from any thread."""


def ignore_progress(progress: float, doing: str) -> None:
    """For who does not want to know."""


def part_of(tell: Tell, start: float, end: float) -> Tell:
    """What a step between two points of a longer work is told by."""
    return lambda progress, doing: tell(start + (end - start) * progress, doing)
