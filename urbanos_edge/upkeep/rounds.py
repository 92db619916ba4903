"""What a serving node does again and again: flush, compact, count, load, expire, look around."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial

import anyio
import anyio.to_thread

from urbanos_edge.errors import EdgeError
from urbanos_edge.memory import give_back
from urbanos_edge.node import Node
from urbanos_edge.store.restamp import known_doubt, owed_corrections, remember_doubt
from urbanos_edge.uptime import LOOK_EVERY_S

LOOK_AT_CLOCK_S = 1
RETRY_DISK_S = 5
LOOK_AT_DISK_S = 2
EXPIRE_EVERY_S = 3600
COUNT_HOURS_EVERY_S = 30
LOOK_AT_RECENT_S = 5
LOAD_PAUSE = 0.25
"""Of the time that loading an hour takes."""
_log = logging.getLogger(__name__)


async def flush_forever(node: Node) -> None:
    """Flush at every interval; a failure is remembered for the status and tried again."""
    while True:
        await anyio.sleep(_pause_s(node))
        try:
            await node.flush()
        except EdgeError as error:
            node.flush_failure = error.message
            _log.error("flush failed, will be tried again: %s", error.message)
        except Exception:
            node.flush_failure = "internal error; see the log"
            _log.exception("flush failed, will be tried again")


async def compact_forever(node: Node) -> None:
    """Fold and seal what is due, within the share of the time it may take."""
    try:
        while True:
            step = node.compactor.paced_step
            await anyio.sleep(await anyio.to_thread.run_sync(step, abandon_on_cancel=True))
    except anyio.get_cancelled_exc_class():
        node.compactor.stop()  # for good; a task that failed begins again
        raise


async def count_hours_forever(node: Node) -> None:
    """Count the hours that changed, once they are quiet."""
    while True:
        try:
            while await anyio.to_thread.run_sync(node.hours.step):
                pass
        except EdgeError as error:
            _log.error("hourly aggregates failed, will be tried again: %s", error.message)
        await anyio.sleep(COUNT_HOURS_EVERY_S)


async def load_recent_forever(node: Node) -> None:
    """Bring the readings of the last 24 hours into memory and tidy up there, beside all else."""
    while True:
        began_s = anyio.current_time()
        try:
            async with node.flushing:
                is_under_way = await anyio.to_thread.run_sync(_load_or_tidy, node)
        except EdgeError as error:
            is_under_way = False
            _log.error("recent readings could not be loaded: %s", error.message)
        took_s = anyio.current_time() - began_s
        await anyio.sleep(took_s * LOAD_PAUSE if is_under_way else LOOK_AT_RECENT_S)


def _load_or_tidy(node: Node) -> bool:
    now_us = node.clock.now_us()
    has_done = node.recent.load_more(now_us) or node.recent.tidy(now_us)
    if has_done:
        give_back()
    return has_done


async def expire_forever(node: Node) -> None:
    """Drop what is older than the retention, within the hour, at once while the disk is low."""
    while True:
        try:
            dropped = await anyio.to_thread.run_sync(node.expiry.drop_if_sure)
            for partition in dropped:
                _log.info("%s is older than the retention and was dropped", partition.day)
            if node.expiry.is_sure():
                await node.reports.expire()
        except EdgeError as error:
            _log.error("expiry failed, will be tried again: %s", error.message)
        with anyio.move_on_after(EXPIRE_EVERY_S):
            await node.disk_was_low.wait()
        node.disk_was_low = anyio.Event()


async def watch_disk_forever(node: Node) -> None:
    """Look at the disk every few seconds; while it is low no export keeps what could go."""
    while True:
        await anyio.to_thread.run_sync(node.disk.look)
        if node.disk.is_low:
            if node.store.retired_bytes:
                node.exports.break_off()
            node.disk_was_low.set()
        await anyio.sleep(LOOK_AT_DISK_S)


async def watch_clock_forever(node: Node) -> None:
    """Look at the clock every second; once it is set, mend what it stamped before.

    What is to be mended is written down before it is begun: a node that fails or ends over it goes
    on with it.
    """
    doubt = known_doubt(node.database)
    owed = owed_corrections(node.database)
    while True:
        node.clock.look()
        if node.clock.doubt != doubt:
            ended = None if doubt is None else node.clock.correction(doubt)
            known = node.clock.doubt
            await node.database.write(partial(remember_doubt, doubt=known, ended=ended))
            doubt, owed = known, owed_corrections(node.database)
        for correction in owed:
            await node.restamp(correction)
        owed = []
        node.view()
        if node.rollup.went_back:
            await node.reload_alone()
        await anyio.sleep(LOOK_AT_CLOCK_S)


async def watch_readiness_forever(node: Node) -> None:
    """Count the seconds in which the node is ready."""
    while True:
        node.uptime.look(not node.faults())
        if node.uptime.is_due:
            with suppress(EdgeError):  # it is kept the next time
                await anyio.to_thread.run_sync(node.uptime.keep)
        await anyio.sleep(LOOK_EVERY_S)


def _pause_s(node: Node) -> float:
    """The interval, or less while something fails: 1, 2, 4 s for a batch, 5 s for the disk."""
    failures = node.drain.failures
    interval_s = node.settings.flush_interval_s
    if failures:
        return min(interval_s, 2.0 ** (failures - 1))
    return min(interval_s, RETRY_DISK_S) if node.flush_failure else interval_s
