"""Dead letters through the door again."""

from __future__ import annotations

from collections.abc import Sequence

from urbanos_edge.adapters import node_json
from urbanos_edge.clock import Stamp
from urbanos_edge.errors import EdgeError
from urbanos_edge.ingest.dead_letters import DeadLetters
from urbanos_edge.ingest.ingest import Ingest
from urbanos_edge.ingest.sources import Arrival
from urbanos_edge.tokens import Token


async def requeue(
    letters: DeadLetters, ingest: Ingest, token: Token, ids: Sequence[int] | None
) -> int:
    """Send letters again with this token, as of when they were refused; return how many got in.

    When none are named it is all but those that were said for others. What is accepted is no letter
    any more; what is refused again becomes a new one, and what cannot be read stays.
    """
    accepted = 0
    for number, refused_us, payload in letters.to_send(ids):
        try:
            message, _ = node_json.read_object_or_array(payload)
        except EdgeError:
            continue
        came = Arrival("json", stamp=Stamp(refused_us, is_trusted=True))
        receipt = await ingest.accept(message, token, came)
        accepted += receipt.accepted
        await letters.purge([number])
    return accepted
