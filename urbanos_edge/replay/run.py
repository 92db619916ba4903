"""The replay itself: batches to a node, and the count of what became of their rows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from urbanos_edge.archives import Archive, ArchiveOptions, Rejected, Row, open_archive
from urbanos_edge.errors import EdgeError
from urbanos_edge.replay.batches import Batch, Batches, Pace
from urbanos_edge.replay.node import Answer, Door, Node, NodeCounts, Stopped
from urbanos_edge.replay.order import FileOrder, Order, TimeOrder
from urbanos_edge.replay.state import State, StateFile, Tally

_SAVE_EVERY_S: Final = 1.0
"""A kill costs what was sent since then; it comes again, and the node knows it."""
_ASK_EVERY_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class CarryOptions:
    """How archives are carried to a node.

    `speed` is how much faster than measured; None is as fast as the node takes it, in the order of
    the files unless `by_time`. `shift_to_now` moves all readings by one span, so that the last one
    is measured now. The node's last flush is waited for during `flush_wait_s`.
    """

    state_dir: Path
    archive: ArchiveOptions = field(default_factory=ArchiveOptions)
    speed: float | None = None
    by_time: bool = False
    shift_to_now: bool = False
    restart: bool = False
    batch: int = 2000
    flush_wait_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class ReplayOptions(CarryOptions):
    """Where to, and how. A node that is away is waited for during `patience_s`."""

    url: str
    token: str
    patience_s: float = 300.0


class Report(Protocol):
    """Where a replay tells how it goes."""

    def say(self, line: str) -> None:
        """Tell one thing; called from any thread."""

    def progress(self, rows: int, share: float) -> None:
        """Tell how many rows are settled, and what share of the whole that is, from 0 to 1."""


@dataclass(frozen=True)
class ReplaySummary:
    """What became of a replay since its first start; `elapsed_s` is of this start alone.

    `before` and `after` are the node's own counts, None when it did not tell them. `is_exact` is
    that of the door.
    """

    complete: bool
    tally: Tally
    before: NodeCounts | None
    after: NodeCounts | None
    elapsed_s: float
    is_exact: bool = False

    @property
    def duplicates(self) -> int:
        """How many accepted readings the node knew already: its own exact count, if it tells."""
        if self.is_exact or self.before is None or self.after is None:
            return self.tally.duplicates
        return self.after.duplicates - self.before.duplicates


def replay(
    files: Sequence[Path],
    options: ReplayOptions,
    report: Report,
    stop: threading.Event | None = None,
) -> ReplaySummary:
    """Send the readings of these archives to a node, going on where the same call was left.

    Setting `stop` ends it early, in a state to go on from.

    Raises:
        ArchiveError: a file cannot be read, or not to its end; in the order of the files, what
            came before the damage was sent.
        NodeGone, NodeRefused: see `Node`; the state is kept.
        EdgeError: the state cannot be kept.
    """
    stop = stop or threading.Event()
    archives = open_archives(files, options.archive, report)
    node = Node(
        options.url, options.token, patience_s=options.patience_s, say=report.say, stop=stop
    )
    try:
        return carry(archives, options, report, stop, node)
    finally:
        node.close()


def open_archives(files: Sequence[Path], options: ArchiveOptions, report: Report) -> list[Archive]:
    """Open them all, and say how each is read.

    Raises:
        ArchiveError: one cannot be read at all.
    """
    archives = [open_archive(path, options) for path in files]
    for archive in archives:
        report.say(f"{archive.path.name}: {archive.describe}.")
    return archives


def carry(
    archives: Sequence[Archive],
    options: CarryOptions,
    report: Report,
    stop: threading.Event,
    node: Door,
) -> ReplaySummary:
    """Carry the readings of archives to a node, going on where the same call was left.

    Raises:
        ArchiveError: a file cannot be read to its end; in the order of the files, what came before
            the damage was sent, and by time nothing.
        EdgeError: the state cannot be kept, or the node's own refusal; the state is kept.
    """
    return _Replay(archives, options, report, stop, node).run()


class _Replay:
    def __init__(
        self,
        archives: Sequence[Archive],
        options: CarryOptions,
        report: Report,
        stop: threading.Event,
        node: Door,
    ) -> None:
        self._archives = archives
        self._options = options
        self._report = report
        self._stop = stop
        self._node = node
        self._file = StateFile(options.state_dir, _identity(archives, options, node.name))
        self._state = State()
        self._saved_s = time.monotonic()

    def run(self) -> ReplaySummary:
        started_s = time.monotonic()
        after = None
        try:
            complete = self._send_all()
            if complete:
                after = self._counts_after_flush()
                self._file.remove()
        except Stopped:
            complete = False
        except OSError as error:
            folder = self._options.state_dir
            raise EdgeError(
                f"{folder} cannot be used ({error}); name another --state-dir"
            ) from error
        tally, before = self._state.tally, self._state.before
        elapsed_s = time.monotonic() - started_s
        return ReplaySummary(complete, tally, before, after, elapsed_s, self._node.is_exact)

    def _send_all(self) -> bool:
        with closing(self._order()) as order:
            self._begin(order)
            pace = Pace(self._options.speed) if self._options.speed else None
            shift = timedelta(seconds=self._state.shift_s)
            batches = Batches(order, self._options.batch, shift, pace, self._stop)
            try:
                self._fly(batches, ahead=0 if pace else 1)
            finally:
                self._file.save(self._state)
        if batches.damage is not None:
            raise batches.damage
        return batches.complete

    def _fly(self, batches: Batches, ahead: int) -> None:
        """Send batch after batch, in order; up to `ahead` more are read while one is away."""
        flying: deque[tuple[Batch, Future[Answer]]] = deque()
        with ThreadPoolExecutor(max_workers=1) as sender:
            for batch in batches.after(self._state.position):
                flying.append((batch, sender.submit(self._send, batch)))
                while len(flying) > ahead:
                    self._settle(*flying.popleft())
            while flying:
                self._settle(*flying.popleft())

    def _send(self, batch: Batch) -> Answer:
        return self._node.send(batch.body) if batch.body else Answer(rejected=[])

    def _settle(self, batch: Batch, answered: Future[Answer]) -> None:
        answer = answered.result()
        tally = self._state.tally
        readings = [(index, row) for index, row in batch.rows if isinstance(row, Row)]
        for index, row in batch.rows:
            if isinstance(row, Rejected):
                tally.reject(row.reason, self._where(index, row))
        for refusal in answer.rejected:
            tally.reject(refusal.code, self._where(*readings[refusal.index]))
        tally.rows += len(batch.rows)
        tally.sent += len(readings)
        tally.accepted += answer.accepted
        tally.duplicates += answer.duplicates
        tally.held += answer.held
        tally.beyond += answer.beyond
        self._state.position = batch.position
        if time.monotonic() - self._saved_s > _SAVE_EVERY_S:
            self._file.save(self._state)
            self._saved_s = time.monotonic()
        self._report.progress(tally.rows, batch.share)

    def _begin(self, order: Order) -> None:
        now = self._node.counts()
        left = None if self._options.restart else self._file.load()
        if left is not None and _same_node(left.before, now):
            self._state = left
            self._report.say(f"Going on after {left.tally.rows:,} rows of an earlier start.")
            return
        if left is not None:
            self._report.say(f"Another node answers at {self._node.name}: beginning anew.")
        self._state.before = now
        if self._options.shift_to_now and (last_at := order.last_at()) is not None:
            self._state.shift_s = int((datetime.now(UTC) - last_at).total_seconds())
        self._file.save(self._state)  # a shift must outlive a kill, or readings come twice

    def _order(self) -> Order:
        if self._options.speed is None and not self._options.by_time:
            return FileOrder(self._archives)
        self._report.say("Sorting the rows by time.")
        return TimeOrder(self._archives, self._options.state_dir)

    def _counts_after_flush(self) -> NodeCounts | None:
        """Ask for the node's counts once it has stored what waits in its spool."""
        if self._node.is_exact:
            return self._node.counts()
        self._report.say("All is sent; waiting for the node to store it.")
        give_up_s = time.monotonic() + self._options.flush_wait_s
        while True:
            counts = self._node.counts()
            if counts is None or counts.waiting == 0 or time.monotonic() > give_up_s:
                return counts
            if self._stop.wait(_ASK_EVERY_S):
                return counts

    def _where(self, index: int, row: Row | Rejected) -> str:
        return f"{self._archives[index].path.name} line {row.line:,}"


def _same_node(before: NodeCounts | None, now: NodeCounts | None) -> bool:
    """Whether it is the node the replay began with; one that does not say is taken for it."""
    return before is None or now is None or before.node_id == now.node_id


def _identity(archives: Sequence[Archive], options: CarryOptions, to: str) -> list[Any]:
    """What makes two calls the same replay: the bytes read, how, in which order, to whom."""
    read = [archive.path for archive in archives]
    if options.archive.stations is not None:
        read.append(options.archive.stations)
    return [
        [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in read],
        options.archive.format,
        options.archive.column_map,
        to,
        options.speed is None and not options.by_time,
        options.shift_to_now,
    ]
