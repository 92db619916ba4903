"""What the user of a replay sees: a bar on a terminal, lines elsewhere, and the closing line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from urbanos_edge.archives import REASONS
from urbanos_edge.replay.run import ReplaySummary, Report

_LINE_EVERY_S: Final = 5.0
_ADVICE: Final = {"no_location": "; give their places with --stations, or register the sensors"}
"""What helps against rejections of the node, by code."""


@contextmanager
def terminal_report() -> Iterator[Report]:
    """Report to standard output: with a bar when it is a terminal."""
    console = Console()
    if not console.is_terminal:
        yield LineReport()
        return
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bar:
        yield BarReport(bar)


class BarReport:
    """A progress bar that stays in place; what is said scrolls above it."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=1.0, start=False)
        self._course = Course()

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False)

    def progress(self, rows: int, share: float) -> None:
        self._bar.start_task(self._task)
        text = self._course.tell(rows, share)
        self._bar.update(self._task, completed=share, description=text)


class LineReport:
    """Plain lines, one every few seconds."""

    def __init__(self) -> None:
        self._course = Course()
        self._told_s = time.monotonic()

    def say(self, line: str) -> None:
        click.echo(line)

    def progress(self, rows: int, share: float) -> None:
        text = self._course.tell(rows, share)
        if time.monotonic() - self._told_s >= _LINE_EVERY_S:
            self._told_s = time.monotonic()
            click.echo(f"{share:.0%}, {text}")


class Course:
    """Rate and time left, from the first progress of this start on."""

    def __init__(self) -> None:
        self._first: tuple[float, int, float] | None = None

    def tell(self, rows: int, share: float) -> str:
        """Return `412,000 rows, 38,120 rows/s, 17 s left`."""
        now_s = time.monotonic()
        if self._first is None:
            self._first = now_s, rows, share
        first_s, first_rows, first_share = self._first
        passed_s = now_s - first_s
        if passed_s <= 0 or share <= first_share:
            return f"{rows:,} rows"
        left_s = (1 - share) / (share - first_share) * passed_s
        return f"{rows:,} rows, {(rows - first_rows) / passed_s:,.0f} rows/s, {span(left_s)} left"


def span(seconds: float) -> str:
    """Return `17 s`, `4 min 10 s` or `3 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def closing_lines(summary: ReplaySummary) -> list[str]:
    """Say what became of every row: the rejected by reason, then everything in one line."""
    tally = summary.tally
    rejected = {
        code: f"{count:,} {REASONS.get(code, code.replace('_', ' '))}"
        for code, count in sorted(tally.rejected.items())
    }
    lines = [
        f"Rejected: {text}, first at {tally.first[code]}{_ADVICE.get(code, '')}."
        for code, text in rejected.items()
    ]
    if tally.held:
        lines.append(
            f"Held in the node's inbox for want of a place: {tally.held:,}; give their places"
            " with --stations and replay again."
        )
    by_reason = f" ({', '.join(rejected.values())})" if rejected else ""
    lines.append(
        f"{'Done' if summary.complete else 'Stopped'} after {span(summary.elapsed_s)}: "
        f"{tally.rows:,} rows, {tally.sent:,} sent, {tally.accepted:,} accepted, "
        f"{summary.duplicates:,} of them duplicate, "
        f"{sum(tally.rejected.values()):,} rejected{by_reason}; {_stored(summary)}."
    )
    return lines


def _stored(summary: ReplaySummary) -> str:
    if summary.before is None:
        return "the node did not tell what it stored"
    if summary.after is None:
        return f"the node had {summary.before.rows:,} stored before"
    waiting = summary.after.waiting
    return (
        f"stored on the node: {summary.before.rows:,} before, {summary.after.rows:,} after"
        f"{f' (and {waiting:,} still waiting)' if waiting else ''}"
    )
