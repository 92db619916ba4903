"""What keeps a node's data whole over the years: check, slow scrub, backup and its rehearsal."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final
from zoneinfo import ZoneInfo

import anyio
import anyio.from_thread
import anyio.to_thread
import msgspec

from urbanos_edge.backup.backup import (
    ALSO_KEPT,
    Catalogue,
    Copied,
    Kept,
    Shelf,
    note_backup,
    note_proof,
)
from urbanos_edge.backup.check import Check, Report, verified
from urbanos_edge.backup.restore import unpack
from urbanos_edge.backup.targets import TargetFailed, open_target
from urbanos_edge.clock import SECOND_US, to_rfc3339
from urbanos_edge.database import DATABASE_NAME
from urbanos_edge.errors import BadRequest, DiskFull, EdgeError
from urbanos_edge.node import Node
from urbanos_edge.progress import Tell, ignore_progress, part_of
from urbanos_edge.store.integrity import Checksum

LOOK_EVERY_S: Final = 30.0
"""How often it is asked whether a backup is due."""
TRY_AGAIN_S: Final = 3600.0
REHEARSAL_NICENESS: Final = 10
_log = logging.getLogger(__name__)


class RehearsalFailed(EdgeError):
    """A backup was restored and is not what it should be."""

    code = "rehearsal_failed"


async def check(node: Node, *, repair: bool, tell: Tell) -> Report:
    """Look at everything the node holds, and mend what can be mended; the node goes on serving."""
    run = Check(node.database, node.store, node.hours, node.engine, node.spool, repair=repair)
    await anyio.to_thread.run_sync(run.run, until_stopped(tell))
    async with node.flushing:
        rescue = partial(_rescue, node)
        await anyio.to_thread.run_sync(run.bring_back, node.mover, rescue)
        await anyio.to_thread.run_sync(run.check_totals)
        has_changed = any(finding.repaired for finding in run.report.findings)
        if has_changed or (repair and run.damaged):
            await anyio.to_thread.run_sync(node.reload)
        tell(0.97, "comparing the last 24 hours")
        if repair or not run.damaged:  # what a damaged file says proves nothing
            await anyio.to_thread.run_sync(run.compare_rollup, node.rollup, node.clock.now_us())
    if repair:
        node.cache.something_changed()
    tell(1.0, "checked")
    return run.report


async def back_up(
    node: Node, address: str, *, keep: int, prove: bool = False, tell: Tell = ignore_progress
) -> Copied:
    """Back the node up, remember it, remove what is too old, and rehearse the restore if asked.

    Raises:
        BadRequest: the place is inside the data directory.
        TargetFailed: it cannot be written; earlier backups are whole.
        RehearsalFailed: the backup is there and cannot be restored.
    """
    async with node.backups.making:
        shelf = await anyio.to_thread.run_sync(_shelf, node, address)
        first = until_stopped(part_of(tell, 0.0, 0.6 if prove else 0.95))
        stores = (node.store, node.hours.store)
        make = partial(shelf.make, stores, node.database, node.clock.now_us(), first)
        copied = await anyio.to_thread.run_sync(make)
        await node.database.write(
            lambda connection: note_backup(connection, address, copied.catalogue)
        )
        tell(0.6 if prove else 0.95, "removing old backups")
        if prove:
            await _replace_unproven(node, address, shelf, copied.catalogue.name)
        await anyio.to_thread.run_sync(shelf.prune, keep)
        if prove:
            await _rehearse(node, address, shelf, copied.catalogue, part_of(tell, 0.6, 1.0))
            del node.backups.unproven[address]
    return copied


async def _replace_unproven(node: Node, address: str, shelf: Shelf, name: str) -> None:
    """Let a backup take the place of those before it that failed later than in being made.

    It is tried again every hour, and a day of that would push out all that are older.
    """
    unproven = node.backups.unproven.setdefault(address, [])
    failed = tuple(unproven)
    unproven.append(name)
    await anyio.to_thread.run_sync(shelf.withdraw, failed)
    unproven[:] = [name]


async def copy_aside(node: Node, folder: Path, tell: Tell = ignore_progress) -> Catalogue:
    """Make a new folder below the data directory's `.tmp/` a copy of all that the node holds.

    Files are copied, never linked. For a moment there are two copies.

    Raises:
        DiskFull: two copies and the reserve do not fit on the disk.
        RestoreFailed: the copy is not what it should be.
    """
    async with node.backups.making:
        return await anyio.to_thread.run_sync(_copy_aside, node, folder, until_stopped(tell))


def _copy_aside(node: Node, folder: Path, tell: Tell) -> Catalogue:
    stores = (node.store, node.hours.store)
    held_bytes = sum(file.bytes for store in stores for file in store.files)
    held_bytes += sum((node.data_dir / name).stat().st_size for name in _whole_files(node))
    if node.disk.free_bytes < 2 * held_bytes + (node.settings.disk_reserve_mib << 20):
        raise DiskFull(f"two copies of the data, {held_bytes >> 20} MiB each, do not fit")
    objects = folder.with_name(f"{folder.name}.objects")
    objects.mkdir(parents=True)
    try:
        shelf = Shelf(open_target(str(objects)), node.node_id)
        first, then = part_of(tell, 0.0, 0.5), part_of(tell, 0.5, 1.0)
        made = shelf.make(stores, node.database, node.clock.now_us(), first)
        unpack(shelf, made.catalogue, folder, then)
    finally:
        shutil.rmtree(objects)
    return made.catalogue


def _whole_files(node: Node) -> list[str]:
    return [name for name in (DATABASE_NAME, *ALSO_KEPT) if (node.data_dir / name).is_file()]


async def back_up_daily(node: Node) -> None:
    """Back up and rehearse once a day at the hour set, soon after a missed one, and on request."""
    backups, is_asked = node.backups, False
    while node.settings.backup_target:
        if is_asked or await anyio.to_thread.run_sync(is_backup_due, node):
            await _back_up_and_tell(node, node.settings.backup_target)
        pause_s = LOOK_EVERY_S if backups.failure is None else TRY_AGAIN_S
        is_asked = await backups.wait_for_request(pause_s)


async def _back_up_and_tell(node: Node, address: str) -> None:
    """Make one, and keep what came of it where the status shows it."""
    backups = node.backups
    backups.progress = 0.0

    def tell(progress: float, _: str) -> None:
        backups.progress = progress

    try:
        await back_up(node, address, keep=node.settings.backup_keep, prove=True, tell=tell)
        backups.failure = None
    except EdgeError as error:
        backups.failure = error.message
        _log.error("the backup failed: %s", error.message)
    except Exception:
        backups.failure = "internal error; see the log"
        _log.exception("the backup failed")
    finally:
        backups.progress = None


async def scrub_forever(node: Node) -> None:
    """Compare one file after the other with its checksum, slowly; set aside what has changed."""
    interval_s = node.settings.scrub_interval_s
    after = ""
    while interval_s:
        await anyio.sleep(interval_s)
        try:
            after = await anyio.to_thread.run_sync(scrub_one, node, after)
        except Exception:
            _log.exception("the scrub failed")


def scrub_one(node: Node, after: str) -> str:
    """Compare the file that follows a path; return its path."""
    found = next(verified((node.store, node.hours.store), after), None)
    if found is None:
        return ""
    store, file = found
    reason = store.fault(file, thorough=True)
    is_damaged = reason is not None and file in store.files  # or replaced meanwhile
    if is_damaged:
        store.set_aside([(file, str(reason))])
    node.scrub["verified"] += 1
    node.scrub["damaged"] += is_damaged
    node.scrub["last_at"] = to_rfc3339(node.clock.now_us())
    return file.path


def until_stopped(tell: Tell) -> Tell:
    """Also ends the thread that tells, once the task that waits for it is cancelled."""

    def told(progress: float, doing: str) -> None:
        anyio.from_thread.check_cancelled()
        tell(progress, doing)

    return told


def _shelf(node: Node, address: str) -> Shelf:
    if "://" not in address and Path(address).resolve().is_relative_to(node.data_dir):
        raise BadRequest("a backup inside the data directory would be lost with it")
    return Shelf(open_target(address), node.node_id)


def _rescue(node: Node, checksum: Checksum, destination: Path) -> bool:
    """Bring a file of this checksum from where the backups go, if it is there."""
    if not node.settings.backup_target:
        return False
    try:
        shelf = Shelf(open_target(node.settings.backup_target), node.node_id)
        shelf.fetch(Kept(destination.name, 0, checksum.hex()), destination)
    except EdgeError:
        return False
    return True


async def _rehearse(
    node: Node, address: str, shelf: Shelf, catalogue: Catalogue, tell: Tell
) -> None:
    """Restore a backup to scratch with the commands an operator has, and check it there.

    They run as processes of their own, at low priority, so that the node keeps its memory.
    """
    scratch = node.data_dir / ".tmp" / "rehearsal"
    try:
        tell(0.0, "rehearsing the restore")
        words = ["--to", str(scratch), "--node", node.node_id, "--name", catalogue.name]
        await _run("restore", address, *words)
        tell(0.6, "checking the restored node")
        report = msgspec.json.decode(
            await _run("check", "--json", "--data-dir", str(scratch), may_find=True), type=Report
        )
        _compare(report, catalogue)
    except EdgeError:
        with suppress(TargetFailed):  # it may be why the rehearsal failed
            await anyio.to_thread.run_sync(shelf.discard_damaged, catalogue)
        raise
    finally:
        await anyio.to_thread.run_sync(partial(shutil.rmtree, scratch, ignore_errors=True))
    now_us = node.clock.now_us()
    await node.database.write(
        lambda connection: note_proof(connection, address, catalogue.name, now_us)
    )
    tell(1.0, "proven")


def _compare(report: Report, catalogue: Catalogue) -> None:
    wrong = [finding for finding in report.findings if finding.part != "quarantine"]
    if wrong:
        first = wrong[0]
        raise RehearsalFailed(f"the restored {first.part} {first.subject} {first.message}")
    if (report.readings, report.waiting) != (catalogue.readings, catalogue.waiting):
        raise RehearsalFailed(
            f"{report.readings + report.waiting:,} readings were restored,"
            f" {catalogue.readings + catalogue.waiting:,} were backed up"
        )


async def _run(*arguments: str, may_find: bool = False) -> bytes:
    """Run one of our own commands; what it says on stderr becomes the error."""
    words: Sequence[str] = [sys.executable, "-m", "urbanos_edge", *arguments]
    if nice := shutil.which("nice"):
        words = [nice, "-n", str(REHEARSAL_NICENESS), *words]
    ended = await anyio.run_process(words, check=False, stdout=PIPE, stderr=PIPE)
    if ended.returncode not in ((0, 1) if may_find else (0,)) or (may_find and not ended.stdout):
        said = ended.stderr.decode(errors="replace").strip().splitlines() or ["it just ended"]
        raise RehearsalFailed(said[-1].removeprefix("urbanos-edge: "))
    return ended.stdout


def is_backup_due(node: Node) -> bool:
    """Whether the hour has struck since the last backup, or the last one failed, or there is none.

    No hour strikes by a clock in doubt. What is dated to a day to come was made by one that was
    ahead, and is not the last.
    """
    if node.clock.doubt is not None:
        return False
    if node.backups.failure is not None:
        return True
    now_us = node.clock.now_us()
    query = "SELECT max(made_at_us) FROM backups WHERE target = ? AND made_at_us <= ?"
    last: Any = node.database.read().execute(query, (node.settings.backup_target, now_us)).get
    now = datetime.fromtimestamp(now_us / SECOND_US, ZoneInfo(node.settings.time_zone))
    struck = now.replace(hour=node.settings.backup_hour, minute=0, second=0, microsecond=0)
    if struck > now:
        struck -= timedelta(days=1)
    return last is None or int(last) < struck.timestamp() * SECOND_US
