"""Whether both sides have the same: every hour's digests, made from the rows, on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import anyio.to_thread
import msgspec

from urbanos_edge.database import Database, translated
from urbanos_edge.hours.buckets import NOTHING, Digest
from urbanos_edge.hours.hours import hours_in
from urbanos_edge.store import owed, revisions
from urbanos_edge.sync.carrier import Carrier, Kept
from urbanos_edge.sync.link import Link
from urbanos_edge.sync.originals import slots_of

LOOKS: Final = 3
"""How often what differs is looked at again, as long as it changes meanwhile."""


class Difference(msgspec.Struct, frozen=True):
    """An hour, counted from 1970, that is not the same; rows, and digests in hexadecimal."""

    hour: int
    of: Literal["aggregates", "readings"]
    rows_here: int
    rows_there: int
    digest_here: str
    digest_there: str
    is_owed: bool
    """Whether the node knew already that it has something to send."""


async def compare_day(
    carrier: Carrier, database: Database, link: Link, kept: Kept, day: str
) -> list[Difference]:
    """The hours of a day that differ at a second look, too, and did not change during it.

    Raises:
        CentreUnavailable, StorageUnavailable: one side could not be read.
    """
    found = await _differing(carrier, link, kept, hours_in(day))
    before: dict[int, int] = {}
    after = before
    for _ in range(LOOKS):
        hours = sorted({one.hour for one in found})
        if not hours:
            return []
        before = await anyio.to_thread.run_sync(_numbers, database, hours)
        found = await _differing(carrier, link, kept, hours)
        after = await anyio.to_thread.run_sync(_numbers, database, hours)
        if before == after:
            break
    stable = [one for one in found if before.get(one.hour) == after.get(one.hour)]
    known = await anyio.to_thread.run_sync(_owed, database, hours_in(day))
    return [msgspec.structs.replace(one, is_owed=one.hour in known) for one in stable]


async def _differing(
    carrier: Carrier, link: Link, kept: Kept, hours: Sequence[int]
) -> list[Difference]:
    span = range(hours[0], hours[-1] + 1)
    wanted = await anyio.to_thread.run_sync(carrier.comparable, hours, kept)
    here = await anyio.to_thread.run_sync(carrier.buckets.digests, wanted) if wanted else {}
    there = {hour: one.digest for hour, one in (await link.digests(span)).items()}
    found = _pairs(wanted, here, there, "aggregates")
    originals = carrier.originals
    if originals is None:
        return found
    whole = await anyio.to_thread.run_sync(carrier.replaceable, hours, kept)
    if not whole:
        return found
    slots = range(slots_of(hours[0]).start, slots_of(hours[-1]).stop)
    stored = await anyio.to_thread.run_sync(originals.digests, slots)
    sent = await link.reading_digests(span)
    compared = sorted(whole)
    pairs = _by_hour(compared, stored), _by_hour(compared, sent)
    return found + _pairs(compared, *pairs, "readings")


def _pairs(
    hours: Sequence[int],
    here: dict[int, Digest],
    there: dict[int, Digest],
    of: Literal["aggregates", "readings"],
) -> list[Difference]:
    pairs = [(hour, here.get(hour, NOTHING), there.get(hour, NOTHING)) for hour in hours]
    return [
        Difference(hour, of, own.rows, other.rows, own.bits, other.bits, False)
        for hour, own, other in pairs
        if own != other
    ]


def _by_hour(hours: Sequence[int], slots: dict[int, Digest]) -> dict[int, Digest]:
    """The digests of hours from those of their slots."""
    found = {}
    for hour in hours:
        parts = [slots[slot] for slot in slots_of(hour) if slot in slots]
        bits = 0
        for part in parts:
            bits ^= int(part.bits, 16)
        found[hour] = Digest(sum(part.rows for part in parts), f"{bits:032x}")
    return found


def _numbers(database: Database, hours: Sequence[int]) -> dict[int, int]:
    with translated():
        return revisions.revisions_of(database.read(), hours)


def _owed(database: Database, hours: range) -> set[int]:
    with translated():
        return set(owed.owed_hours(database.read(), hours))
