"""Telling a CDN in front of the node which places have changed.

A grid is named at one zoom and stands for its place at all zooms: itself, what it lies in, and what
lies in it. Nothing waits for the CDN; what it was not told it forgets when its time is over.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

import anyio
import httpx
import msgspec
import numpy as np

from urbanos_edge.errors import why_unreached
from urbanos_edge.grid import FINEST_ZOOM, STORED_ZOOM, Tile
from urbanos_edge.rollup.rollup import View

EVERY_S: Final = 1.0
"""Changes within so long go out together."""
MAX_GRIDS: Final = 1000
"""Grids named in one request."""
MAX_PENDING: Final = 10_000
"""Grids that wait; when more change before the CDN has been told, everything has."""
TIMEOUT_S: Final = 10
_SHIFT: Final = FINEST_ZOOM - STORED_ZOOM
_log = logging.getLogger(__name__)

Place = tuple[int, int]
"""Column and row at `STORED_ZOOM`."""


class Changed(msgspec.Struct, frozen=True, rename="camel"):
    """The body of one request; `grids` is empty when everything has changed."""

    everything: bool
    grids: list[str]
    min_zoom: int = 0
    max_zoom: int = FINEST_ZOOM


class Purge:
    """Gathers what changed and posts it; does nothing without an address."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()  # a flush is noted on the event loop, a reload in a worker
        self._pending: set[Place] = set()
        self._everything = False
        self._is_failing = False

    def changed_in(self, view: View) -> set[Place]:
        """Where the last change of a view was; nowhere when nobody is to be told."""
        if not self._url:
            return set()
        return _last_changed(view)

    def note(self, changed: set[Place]) -> None:
        """These have changed; call it once the node's own cache knows.

        A CDN told earlier would fetch, and keep, what the cache still holds of before.
        """
        with self._lock:
            if not self._everything:
                self._pending |= changed
            if len(self._pending) > MAX_PENDING:
                self._set_everything()

    def note_everything(self) -> None:
        """Anything may have changed; call it once the node's own cache knows."""
        with self._lock:
            self._set_everything()

    async def send_forever(self) -> None:
        """Post what has changed, one request at a time."""
        if not self._url:
            await anyio.sleep_forever()
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            while True:
                await anyio.sleep(EVERY_S)
                await self.send(client)

    async def send(self, client: httpx.AsyncClient) -> None:
        """Post what waits; what the CDN does not take is logged and let go."""
        for changed in self._take():
            try:
                with anyio.fail_after(TIMEOUT_S):
                    answer = await client.post(self._url, json=msgspec.to_builtins(changed))
                self._tell(None if answer.is_success else f"it answered {answer.status_code}")
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
                # Its message may name the address, which may hold a secret.
                self._tell(why_unreached(error))

    def _take(self) -> list[Changed]:
        """What waits, as requests; from now on it waits no more."""
        with self._lock:
            everything, self._everything = self._everything, False
            places, self._pending = sorted(self._pending), set()
        if everything:
            return [Changed(True, [])]
        grids = [Tile(STORED_ZOOM, x, y).grid_id for x, y in places]
        starts = range(0, len(grids), MAX_GRIDS)
        return [Changed(False, grids[start : start + MAX_GRIDS]) for start in starts]

    def _set_everything(self) -> None:
        self._everything = True
        self._pending.clear()

    def _tell(self, failure: str | None) -> None:
        """Log the first failure of a row of them, and its end."""
        if failure is not None and not self._is_failing:
            _log.warning("the CDN could not be told what changed: %s", failure)
        elif failure is None and self._is_failing:
            _log.info("the CDN is told again what changes")
        self._is_failing = failure is not None


def _last_changed(view: View) -> set[Place]:
    """The places of all sites and sensors that bear the view's own revision."""
    changed: set[Place] = set()
    for table in (view.sites, view.latest):
        rows = table["revision"] == view.revision
        columns = [table[name][rows].astype(np.int64) >> _SHIFT for name in ("x18", "y18")]
        changed.update(zip(*(column.tolist() for column in columns), strict=True))
    return changed
