"""Requests of every kind and frames of every kind, for as long as it takes to send so many."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from tests.faults.figures import Figures
from tests.fuzzed import Tally, fuzz
from tests.fuzzed_frames import send_frames
from tests.http.sending import moment, now_us, reading, send, spot_number
from tests.processes import NodeProcess

PER_OPERATION: Final = 20
"""Requests of each mode in one round; then the numbers begin anew."""
CLIENTS, FRAMES = 50, 40


def fuzz_at_length(folder: Path, at_least: int) -> Figures:
    """Send at least so many requests, with and without a token in turn, and frames between them."""
    node = NodeProcess(folder / "node", {"ingest_rate_limit": "1000000/second"})
    figures = Figures("requests and frames of every kind")
    statuses: Counter[int] = Counter()
    requests = operations = frames = 0
    try:
        token = node.token("admin")
        known = _measured(node)
        while requests < at_least:
            figures.rounds += 1
            asking = token if figures.rounds % 2 else None
            tally = fuzz(node, asking, PER_OPERATION, figures.rounds, known)
            requests, operations = requests + tally.requests, tally.operations
            statuses += tally.statuses
            frames += send_frames(node, CLIENTS, FRAMES, figures.rounds)
            figures.complaints += _complaints(node, tally)
    finally:
        node.stop()
    figures.wrong = len(figures.complaints)
    figures.more = {"requests": requests, "operations": operations, "frames": frames}
    figures.answers = {str(status): times for status, times in sorted(statuses.items())}
    return figures


def _measured(node: NodeProcess) -> dict[str, list[str]]:
    """Let a sensor be known, and say which values are of it."""
    spot, at_us = spot_number(0), now_us()
    fuzzed = reading(spot, "fuzzed", at_us, timestamp=moment(at_us))
    send(node, node.token(), fuzzed)
    grids = [spot.at_zoom(zoom) for zoom in (0, 12, 18)]
    return {"sensor_id": ["fuzzed"], "grid_id": grids, "gridIds": [",".join(grids)]}


def _complaints(node: NodeProcess, tally: Tally) -> list[str]:
    found = [f"{title}\n{first}" for title, first in tally.complaints.items()]
    if node.client.get("/health/ready").status_code != 200:
        found.append("the node is not ready")
    if "Traceback" in node.log():
        found.append(f"the node's log: …{node.log()[-2000:]}")
    return found
