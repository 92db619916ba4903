"""What was measured long ago, from an archive straight into the store.

It is no news: it does not pass the spool, raises no alert, and its flags are found by a watch of
its own, which sees the archive as the node would have seen it then.
"""

from __future__ import annotations

from functools import partial

import anyio
import anyio.to_thread
import msgspec
import numpy as np

from urbanos_edge.adapters import node_json
from urbanos_edge.batch import Packing, unpack
from urbanos_edge.clock import DAY_US
from urbanos_edge.ingest.receipt import Judged, Refusal
from urbanos_edge.node import OWN_TOKEN, Node
from urbanos_edge.quality.watch import Watch


class Archived(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON array of readings in the order of their time; `begins` with the first of an import.

    `files` are the names of the archives, for the log of acts.
    """

    readings: str
    begins: bool = False
    files: list[str] = []


class Taken(msgspec.Struct, frozen=True):
    """What became of them. `accepted` includes the `duplicates`, which the store knew already.

    `beyond` counts those older than the retention of `retention_days`.
    """

    rejected: list[Refusal]
    accepted: int
    duplicates: int
    beyond: int
    retention_days: int


class Past:
    """The door for archives; used from the event loop."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._watch = self._new_watch()

    async def take(self, archived: Archived) -> Taken:
        """Store the good readings, which is done when this returns, and say why others are not.

        Raises:
            BadRequest, Unprocessable: it is no array of readings.
            StorageUnavailable, DiskFull: nothing was stored.
        """
        node = self._node
        if archived.begins:
            self._watch = self._new_watch()
        node.disk.check_room()
        read = partial(node_json.read_object_or_array, archived.readings.encode())
        message, _ = await anyio.to_thread.run_sync(read)
        judged = node.ingest.judge(message, OWN_TOKEN)
        accepted = judged.receipt.accepted
        duplicates, beyond = await self._store(judged) if accepted else (0, 0)
        days = node.settings.retention_days
        return Taken(judged.receipt.refused, accepted, duplicates, beyond, days)

    async def _store(self, judged: Judged) -> tuple[int, int]:
        """How many were known already, and how many are beyond the retention."""
        node = self._node
        packing = Packing()
        judged.pack(packing)
        arrivals = unpack([packing.payload()])
        introduced = node.ingest.introduced(judged.readings)
        settle = partial(node.sensors.save, sensors=introduced)
        stored = await node.store_past(arrivals, settle, self._watch)
        node.sensors.remember(introduced)
        kept_us = judged.judged_us - node.settings.retention_days * DAY_US
        return stored.duplicates, int(np.count_nonzero(arrivals["timestamp_us"] < kept_us))

    def _new_watch(self) -> Watch:
        return Watch(self._node.settings.neighbour_radius_km * 1000)
