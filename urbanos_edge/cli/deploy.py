"""Commands that bring a new version into use, and the old one back."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from urbanos_edge import control
from urbanos_edge.cli.asking import Finite, data_dir_option, json_option, progress_bar
from urbanos_edge.clock import to_rfc3339
from urbanos_edge.deploy.cutover import Change
from urbanos_edge.deploy.keeper import FIRST_DESCRIPTOR
from urbanos_edge.deploy.lookout import ANSWER_WITHIN_S
from urbanos_edge.deploy.rehearsal import Findings, rehearse
from urbanos_edge.deploy.slots import DEFAULT_ROOT, NAMES, NoSlot, Slot, Slots, is_kept, remember
from urbanos_edge.deploy.staging import Vouched
from urbanos_edge.deploy.staging import stage as stage_release
from urbanos_edge.schemas import WAY_BACK_US
from urbanos_edge.server.server import listening
from urbanos_edge.settings import default_config, load

SHOWN: Final = 8
"""Lines of the history, the newest."""
_OUT_OF_THE_WAY: Final = 64
"""The first descriptor that nothing else has."""
root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_ROOT,
    show_default=True,
    help="Where the two slots are.",
)
unchecked_option = click.option("--unchecked", is_flag=True, help="Whatever deploy check says.")
watch_option = click.option(
    "--watch",
    "watch_minutes",
    type=Finite(0, 1440),
    default=10,
    show_default=True,
    help="Minutes it must do well before it is left alone.",
)
_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_folder = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def deploy() -> None:
    """A new version beside the old one, tried, watched, and taken back."""


@deploy.command()
@root_option
@click.option("--data-dir", hidden=True, expose_value=False)  # every command takes it
@click.argument("wheel", type=_file)
@click.option("--wheelhouse", type=_folder, help="What it needs.  [default: beside WHEEL]")
@click.option("--sha256", help="The hash that WHEEL must have.")
@click.option("--signature", type=_file, help="By minisign.  [default: WHEEL.minisig]")
@click.option("--now", is_flag=True, help="Even if a version is lost that may have to come back.")
def stage(
    root: Path,
    wheel: Path,
    wheelhouse: Path | None,
    sha256: str | None,
    signature: Path | None,
    now: bool,
) -> None:
    """Put WHEEL into the slot that is not in use, without a network.

    Its hash must be given or, where ROOT/release.pub is, its signature be there.
    """
    vouched = Vouched(sha256, signature)
    slots = Slots(root)
    with progress_bar("staging") as tell:
        where = wheelhouse or wheel.absolute().parent
        slot = stage_release(slots, wheel, where, vouched, now=now, tell=tell)
    click.echo(f"{slot.version} is in {slots.idle}; next: deploy check", err=True)


@deploy.command()
@root_option
@data_dir_option
def check(root: Path, data_dir: Path) -> None:
    """Try the staged version on a copy of the data, beside the one in use.

    Both answer what was asked lately; the one in use then opens what the
    staged one has left. Exit code 1 when something differs.
    """
    slots = Slots(root)
    with slots.changing() as state, progress_bar("checking") as tell:
        name, live = slots.idle, slots.current
        if name not in state.slots or name == state.previous or live is None:
            raise NoSlot("there are no two versions to compare; see deploy stage")
        findings = rehearse(slots.program(live), slots.program(name), data_dir.resolve(), tell)
        slot = state.slots[name]
        slot.checked_at_us, slot.problems = time.time_ns() // 1000, findings.problems
        verdict = "found problems" if findings.problems else "passed"
        remember(state, f"the check of {slot.version} {verdict}")
        slots.save(state)
    _tell(findings)
    if findings.problems:
        sys.exit(1)


@deploy.command()
@root_option
@data_dir_option
@watch_option
@unchecked_option
def cutover(root: Path, data_dir: Path, watch_minutes: float, unchecked: bool) -> None:
    """Let the staged version take over; nobody is refused meanwhile.

    It is watched then. When it crashes, fails or is slow, the old version
    comes back by itself, and the exit code is 1.
    """
    with _on(root, data_dir) as change:
        version = change.cut_over(60 * watch_minutes, unchecked=unchecked)
    click.echo(f"{version} is in use", err=True)


@deploy.command()
@root_option
@data_dir_option
@click.option("--anew", is_flag=True, help="From its beginning, as after a start of the machine.")
def watch(root: Path, data_dir: Path, anew: bool) -> None:
    """Go on with a watch that was broken off, to the end of its time.

    After a start of the machine that happens by itself.
    """
    # The unit that does so by itself has no right to the data.
    with _on(root, None if anew else data_dir) as change:
        version = change.watch(anew=anew)
    click.echo(f"{version} is in use", err=True)


@deploy.command()
@root_option
@data_dir_option
def rollback(root: Path, data_dir: Path) -> None:
    """Let the version before take over again, at once."""
    with _on(root, data_dir) as change:
        version = change.roll_back()
    click.echo(f"{version} is in use", err=True)


@deploy.command()
@root_option
@data_dir_option
@json_option
def status(root: Path, data_dir: Path, as_json: bool) -> None:
    """Show what is in the slots, what runs, and how the last changes went."""
    standing = _standing(Slots(root), data_dir)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(standing)))
        return
    for name, slot in standing["slots"].items():
        found = slot["version"] or "empty"
        click.echo(f"{name:<6} {found}{', in use' if name == standing['current'] else ''}")
        for problem in slot["problems"] or ():
            click.echo(f"       {problem}")
    click.echo(f"{standing['running'] or 'nothing'} runs")
    if standing["watched_until"]:
        click.echo(f"watched until {standing['watched_until']}; broken off? deploy watch")
    if standing["way_back_until"]:
        click.echo(f"deploy rollback is good until {standing['way_back_until']} at least")
    for event in standing["history"][-SHOWN:]:
        click.echo(f"{event['at']} {event['what']}")


@deploy.command()
@root_option
@data_dir_option
@click.option("--host", help="Address to listen on.  [default: 0.0.0.0]")
@click.option("--port", type=int, help="HTTP port.  [default: 8080]")
def keep(root: Path, data_dir: Path, host: str | None, port: int | None) -> None:
    """Run the node in use where there is no systemd, until told to stop.

    It holds the ports open, also while one version gives way to another,
    and starts the node again when that ends.
    """
    settings = load({"host": host, "port": port}, config=default_config(data_dir))
    words = ["serve", "--data-dir", str(data_dir.absolute())]
    with listening(settings) as (plain, secure, _):
        held = [plain] if secure is None else [plain, secure]
        # First all of them out of the way of the places that they get.
        copies = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY) for one in held]
        for number, copy in enumerate(copies, start=FIRST_DESCRIPTOR):
            os.dup2(copy, number, inheritable=True)
        program = [sys.executable, "-m", "urbanos_edge.deploy.keeper"]
        os.execv(sys.executable, [*program, str(root.absolute()), str(len(held)), *words])


@contextmanager
def _on(root: Path, data_dir: Path | None) -> Iterator[Change]:
    """A change that goes on when the terminal it was started from is gone."""
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with progress_bar("deploying") as tell:
            yield Change(Slots(root), data_dir and data_dir.resolve(), tell)
    finally:
        signal.signal(signal.SIGHUP, former)


def _running(data_dir: Path) -> str | None:
    """The version that has the data and answers."""
    try:
        found: str = control.request(data_dir, "status", within_s=ANSWER_WITHIN_S)["version"]
    except (control.NotRunning, OSError):
        return None
    return found


def _standing(slots: Slots, data_dir: Path) -> dict[str, Any]:
    state, now_us = slots.load(), time.time_ns() // 1000
    empty = dict.fromkeys(Slot.__struct_fields__)
    kept = state.previous is not None and is_kept(state, state.previous, now_us)
    return {
        "root": str(slots.root),
        "current": slots.current,
        "running": _running(data_dir),
        "slots": {
            name: msgspec.to_builtins(state.slots[name]) if name in state.slots else empty
            for name in NAMES
        },
        "watched_until": to_rfc3339(state.watch_until_us) if state.phase == "watching" else None,
        "previous": state.previous,
        "way_back_until": to_rfc3339(state.changed_at_us + WAY_BACK_US) if kept else None,
        "history": [{"at": to_rfc3339(one.at_us), "what": one.what} for one in state.history],
    }


def _tell(findings: Findings) -> None:
    asked = f"{findings.asked} requests, {findings.lately} of them asked lately"
    times = f"95 % within {findings.new_p95_ms} ms, {findings.old_p95_ms} ms before"
    click.echo(f"{asked}; {times}")
    for note in findings.notes:
        click.echo(note)
    for problem in findings.problems:
        click.echo(f"PROBLEM {problem}")
    click.echo(
        "there are problems" if findings.problems else "nothing differs; next: deploy cutover"
    )
