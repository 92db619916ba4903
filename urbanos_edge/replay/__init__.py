"""Archives sent into a running node: in the time they were measured in, or as fast as it takes."""

from urbanos_edge.replay.command import replay_command
from urbanos_edge.replay.node import NodeGone, NodeRefused
from urbanos_edge.replay.run import ReplayOptions, ReplaySummary, Report, replay
from urbanos_edge.replay.state import Tally

__all__ = [
    "NodeGone",
    "NodeRefused",
    "ReplayOptions",
    "ReplaySummary",
    "Report",
    "Tally",
    "replay",
    "replay_command",
]
