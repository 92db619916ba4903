"""Telling a CDN in front of the node which places have changed.

A grid stands for its place at all zooms: itself, what it lies in, and what lies in it. Nothing
waits for the CDN; what it was not told it forgets by itself when its time is over.
"""

from __future__ import annotations

import logging
from typing import Final

import anyio
import httpx
import numpy as np

from urbanos_edge.grid import FINEST_ZOOM, STORED_ZOOM, Tile
from urbanos_edge.window import Table

EVERY_S: Final = 1.0
MAX_GRIDS: Final = 1000
"""Grids named in one request."""
MAX_PENDING: Final = 10_000
"""Grids that wait; when more change before the CDN has been told, the whole world has changed."""
TIMEOUT_S: Final = 10
WORLD: Final = Tile(0, 0, 0)
_SHIFT: Final = FINEST_ZOOM - STORED_ZOOM
_log = logging.getLogger(__name__)


class Purge:
    """Gathers changed grids and posts them; does nothing without an address."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pending: set[Tile] = set()

    def note(self, sites: Table) -> None:
        """Something came in at these sites, columns `x18` and `y18`; may run in any thread."""
        if not self._url or WORLD in self._pending:
            return
        places = np.stack([sites["x18"] >> _SHIFT, sites["y18"] >> _SHIFT], axis=1)
        changed = {Tile(STORED_ZOOM, x, y) for x, y in np.unique(places, axis=0).tolist()}
        # A new set each time: the one before may be read on the event loop at this moment.
        pending = self._pending | changed
        self._pending = pending if len(pending) <= MAX_PENDING else {WORLD}

    async def send_forever(self) -> None:
        """Post what has changed, at most once a second."""
        if not self._url:
            await anyio.sleep_forever()
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            while True:
                await anyio.sleep(EVERY_S)
                await self.send(client)

    async def send(self, client: httpx.AsyncClient) -> None:
        """Post what waits; what the CDN does not take is logged and let go."""
        changed, self._pending = sorted(self._pending), set()
        for start in range(0, len(changed), MAX_GRIDS):
            grids = [tile.grid_id for tile in changed[start : start + MAX_GRIDS]]
            try:
                answer = await client.post(self._url, json={"grids": grids})
                answer.raise_for_status()
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                _log.warning("the CDN was not told of %d grids: %s", len(grids), error)
