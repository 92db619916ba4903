"""Archives carried to a node: in the time they were measured in, or as fast as it takes."""

from urbanos_edge.replay.node import Answer, NodeCounts, NodeGone, NodeRefused, read_counts
from urbanos_edge.replay.run import (
    CarryOptions,
    ReplayOptions,
    ReplaySummary,
    Report,
    carry,
    open_archives,
    replay,
)
from urbanos_edge.replay.state import Tally

__all__ = [
    "Answer",
    "CarryOptions",
    "NodeCounts",
    "NodeGone",
    "NodeRefused",
    "ReplayOptions",
    "ReplaySummary",
    "Report",
    "Tally",
    "carry",
    "open_archives",
    "read_counts",
    "replay",
]
