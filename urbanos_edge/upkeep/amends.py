"""What an operator amends: a sensor's correction, and stored readings that follow another one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

import anyio.to_thread
import msgspec
from msgspec import Meta

from urbanos_edge.clock import DAY_US, HOUR_US, to_rfc3339
from urbanos_edge.errors import DiskFull, NotFound, Unprocessable
from urbanos_edge.hours.hours import FINAL
from urbanos_edge.node import Node
from urbanos_edge.progress import Tell
from urbanos_edge.query.colocation import Fit, Pair, colocated
from urbanos_edge.reading import QUANTITY_NAMES
from urbanos_edge.store.manifest import File
from urbanos_edge.store.regrade import Regrade, Rewritten
from urbanos_edge.store.store import start_of

IN_MEMORY_US: Final = DAY_US + 2 * HOUR_US
"""How far back what is in memory follows from the files."""

Finite = Annotated[float, Meta(ge=-1e9, le=1e9)]
Gain = Annotated[float, Meta(gt=0, le=1e6)]


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Gain and shift given by hand."""

    gain: Gain
    shift: Finite


class Calibrate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do about a sensor's correction of a quantity: exactly one of three things.

    A line by hand; a fit against a reference over `days` up to `until_us`, which becomes the
    correction if it is to be applied; or the end of what there is. It is valid from
    `valid_from_us` (now if none) until `valid_until_us`.
    """

    id: str
    quantity: str = "pm25"
    line: Line | None = None
    reference_id: str | None = None
    days: Annotated[float, Meta(gt=0, le=366)] = 14
    until_us: int | None = None
    is_applied: bool = False
    is_ended: bool = False
    valid_from_us: int | None = None
    valid_until_us: int | None = None


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which readings are regraded: UTC days, both included; of all sensors if none is named."""

    from_day: str = "0000-00-00"
    to_day: str = "9999-99-99"
    sensor_id: str | None = None
    is_dry_run: bool = False


class Regraded(msgspec.Struct):
    """What a run found, and changed unless it only looked.

    `final_days` have hourly aggregates whose readings have expired: those stay as they are.
    """

    readings: int = 0
    files: int = 0
    days: list[str] = msgspec.field(default_factory=list)
    final_days: list[str] = msgspec.field(default_factory=list)


async def calibrate(node: Node, wanted: Calibrate) -> dict[str, Any]:
    """Do it; return `fit` and `calibration`, None where there is none, and how many `ended`.

    Raises:
        NotFound: no such sensor, or nothing to end.
        Unprocessable: not one of the three, an unknown quantity, or no line can be found.
    """
    node.sensors.get(wanted.id)
    if wanted.quantity not in QUANTITY_NAMES:
        known = ", ".join(QUANTITY_NAMES)
        raise Unprocessable(f"quantity must be one of {known}", code="unknown_quantity")
    chosen = (wanted.line is not None, wanted.reference_id is not None, wanted.is_ended)
    if sum(chosen) != 1:
        raise Unprocessable("name a reference, or a gain and an offset, or the end", code="unclear")
    if wanted.is_ended:
        return {"fit": None, "calibration": None, "ended": await _end(node, wanted)}
    if wanted.line is not None:
        line = wanted.line.gain, wanted.line.shift
        return _told(None, await _apply(node, wanted, line, "set by hand"))
    fit, basis = await _fit(node, wanted)
    if not wanted.is_applied:
        return _told(fit, None)
    if fit.gain <= 0:
        raise Unprocessable("the sensor falls where the reference rises; it was not applied")
    return _told(fit, await _apply(node, wanted, (fit.gain, fit.shift), basis))


def _told(fit: Fit | None, calibration: Any) -> dict[str, Any]:
    return {"fit": msgspec.to_builtins(fit), "calibration": calibration, "ended": 0}


async def _fit(node: Node, wanted: Calibrate) -> tuple[Fit, str]:
    """The line, and in words what it rests on."""
    reference = node.sensors.get(wanted.reference_id or "").id
    until_us = node.clock.now_us() if wanted.until_us is None else wanted.until_us
    from_us = until_us - round(wanted.days * DAY_US)
    pair = Pair(wanted.id, reference, wanted.quantity, from_us, until_us)
    fit = await anyio.to_thread.run_sync(colocated, node.store, node.engine, pair)
    span = f"{to_rfc3339(from_us)[:10]} to {to_rfc3339(until_us)[:10]}"
    found = f"{fit.hours} hours, R² {fit.r_squared:.3f}"
    return fit, f"co-location with {reference}, {span}, {found}"


async def _apply(node: Node, wanted: Calibrate, line: tuple[float, float], basis: str) -> Any:
    now_us = node.clock.now_us()
    from_us = now_us if wanted.valid_from_us is None else wanted.valid_from_us
    if wanted.valid_until_us is not None and wanted.valid_until_us <= from_us:
        raise Unprocessable("it must not end before it begins", code="invalid_range")
    span_us = from_us, wanted.valid_until_us
    added = await node.corrections.add(wanted.id, wanted.quantity, line, span_us, basis, now_us)
    return msgspec.to_builtins(added)


async def _end(node: Node, wanted: Calibrate) -> int:
    until_us = node.clock.now_us() if wanted.valid_from_us is None else wanted.valid_from_us
    ended = await node.corrections.end(wanted.id, wanted.quantity, until_us)
    if not ended:
        raise NotFound(
            f"'{wanted.id}' has no correction of {wanted.quantity} that is in force then"
        )
    return ended


async def regrade(node: Node, span: Span, tell: Tell) -> Regraded:
    """Grade and correct stored readings as they would be now; the node goes on serving.

    Raises:
        NotFound: the sensor is not registered, and nothing of it was to be done.
        StorageUnavailable, DiskFull: what was done until then stays; asked again, it goes on.
    """
    run = Regrade(node.store, node.engine, node.standard, node.corrections, span.sensor_id)
    await node.flush()
    days = sorted({file.day for file in node.store.files if _is_in(span, file)}, reverse=True)
    final = {f.day for f in node.hours.store.files if f.kind == FINAL and _is_in(span, f)}
    report = Regraded(final_days=sorted(final))
    for number, day in enumerate(days):
        tell(number / len(days), f"regrading {day}")
        await _regrade_day(node, run, day, report, is_dry_run=span.is_dry_run)
    if report.files and not span.is_dry_run:
        node.purge.note_everything()
    report.days.reverse()
    if span.sensor_id and span.sensor_id not in node.sensors and not report.readings:
        raise NotFound(f"there is no sensor '{span.sensor_id[:120]}', and nothing of it to regrade")
    return report


def _is_in(span: Span, file: File) -> bool:
    return span.from_day <= file.day <= span.to_day


async def _regrade_day(
    node: Node, run: Regrade, day: str, report: Regraded, *, is_dry_run: bool
) -> None:
    """Until every file of the day, those that came meanwhile too, has been looked at."""
    looked: set[str] = set()
    while files := [f for f in node.store.files if f.day == day and f.path not in looked]:
        looked |= {file.path for file in files}
        if not is_dry_run and sum(file.bytes for file in files) > node.disk.room_bytes:
            raise DiskFull(f"there is no room for a copy of {day} on the disk")
        rewritten: list[Rewritten] = []
        try:
            for file in files:
                look = partial(run.prepare, file, write=not is_dry_run)
                found = await anyio.to_thread.run_sync(look)
                rewritten += [] if found is None else [found]
            real = rewritten
            if rewritten and not is_dry_run:
                async with node.flushing:
                    real = await anyio.to_thread.run_sync(_make_real, node, run, rewritten)
        finally:
            run.discard(rewritten)
        report.readings += sum(one.rows for one in real)
        report.files += len(real)
        report.days += [day] if real and day not in report.days else []


def _make_real(node: Node, run: Regrade, rewritten: Sequence[Rewritten]) -> list[Rewritten]:
    """Put the new files in place, and let what is in memory follow; nothing is stored meanwhile."""
    now_us, day = node.clock.now_us(), rewritten[0].old.day
    try:
        return [one for one in rewritten if run.make_real(one, now_us)]
    finally:
        if start_of(day) + DAY_US > now_us - IN_MEMORY_US:
            node.reload()
        node.history.follow()
        node.cache.something_changed()
