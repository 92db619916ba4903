"""Putting a release into the slot that is not in use, offline, without touching the other.

A release is a wheel that carries the lock of all that it needs, by version and hash; the wheels of
those come from a folder. So who vouches for the one wheel vouches for every file in the slot.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Final

import msgspec

from urbanos_edge.deploy.signature import check_signature
from urbanos_edge.deploy.slots import Slot, Slots, State, is_kept, remember, schemas_in, version_of
from urbanos_edge.errors import EdgeError
from urbanos_edge.progress import Tell, part_of

LOCK: Final = "urbanos_edge/locks/runtime.txt"
"""Of the wheel: the packages it needs."""
MAX_LOCK_BYTES: Final = 4 << 20
PIP_WITHIN_S: Final = 1800
_PIP: Final = ("--isolated", "--disable-pip-version-check", "--no-input", "--quiet")
_OFFLINE: Final = ("--no-index", "--only-binary=:all:")


class NotStaged(EdgeError):
    """The release did not get into the slot, which is empty now; the one in use is as it was."""

    code = "not_staged"


class Vouched(msgspec.Struct, frozen=True):
    """How a release is known to be the right one."""

    sha256: str | None = None
    signature: Path | None = None


def stage(
    slots: Slots, wheel: Path, wheelhouse: Path, vouched: Vouched, *, now: bool, tell: Tell
) -> Slot:
    """Make the idle slot's environment from a wheel and a folder of what it needs.

    Args:
        now: also if the slot holds the version that may still have to come back.

    Raises:
        NotStaged: the wheel is not what it should be, or something that it needs is missing.
    """
    with slots.changing() as state:
        name = slots.idle
        _check_free(state, name, now)
        tell(0.0, "checking the release")
        sha256, signed = _check(slots, wheel, vouched)
        state.slots.pop(name, None)
        state.previous = None if state.previous == name else state.previous
        slots.save(state)
        try:
            _fill(slots.folder(name), wheel, wheelhouse, part_of(tell, 0.1, 0.9))
            schema, readable = schemas_in(slots.folder(name))
            slot = Slot(
                version=version_of(slots.program(name)),
                schema=schema,
                readable_from=readable,
                sha256=sha256,
                signed=signed,
                staged_at_us=time.time_ns() // 1000,
            )
        except BaseException:
            slots.empty(name)
            raise
        state.slots[name] = slot
        remember(state, f"{slot.version} was staged into {name}")
        slots.save(state)
        tell(1.0, "staged")
        return slot


def _check_free(state: State, name: str, now: bool) -> None:
    if state.phase != "settled":
        raise NotStaged("a change is under way; see deploy status", code="busy")
    if is_kept(state, name, time.time_ns() // 1000) and not now:
        raise NotStaged(
            f"{name} holds {state.slots[name].version}, which may come back for 24 hours after the"
            " change; give it up with --now",
            code="way_back_open",
        )


def _check(slots: Slots, wheel: Path, vouched: Vouched) -> tuple[str, str | None]:
    """The wheel's hash, and the comment it was signed with where a key is installed."""
    with wheel.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    if vouched.sha256 is not None and vouched.sha256.lower() != sha256:
        raise NotStaged(f"{wheel.name} has the SHA-256 {sha256}, not the one that was given")
    key = slots.public_key
    if key is not None:
        signature = vouched.signature or wheel.with_name(f"{wheel.name}.minisig")
        return sha256, check_signature(wheel, signature, key)
    if vouched.signature is not None:
        raise NotStaged(f"there is no key to check a signature with: {slots.root}/release.pub")
    if vouched.sha256 is None:
        raise NotStaged(f"say what {wheel.name} should be: --sha256, of where it comes from")
    return sha256, None


def _fill(folder: Path, wheel: Path, wheelhouse: Path, tell: Tell) -> None:
    tell(0.0, "making the environment")
    _run("an environment", sys.executable, "-m", "venv", "--clear", str(folder))
    pip = [str(folder / "bin" / "python"), "-m", "pip", *_PIP, "install", *_OFFLINE]
    with tempfile.NamedTemporaryFile("wb", suffix=".txt") as lock:
        lock.write(_lock(wheel))
        lock.flush()
        tell(0.2, "installing what it needs")
        words = ["--find-links", str(wheelhouse), "--require-hashes", "--requirement", lock.name]
        _run("what it needs", *pip, *words)
    tell(0.8, "installing the release")
    _run(wheel.name, *pip, "--no-deps", str(wheel.absolute()))


def _lock(wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as opened:
            if opened.getinfo(LOCK).file_size > MAX_LOCK_BYTES:
                raise NotStaged(f"the lock in {wheel.name} is too large")
            return opened.read(LOCK)
    except (zipfile.BadZipFile, KeyError) as error:
        raise NotStaged(f"{wheel.name} is no release: it holds no lock of its packages") from error


def _run(what: str, *words: str) -> None:
    """Run a program; the last line that it says becomes the error."""
    try:
        ended = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_WITHIN_S,
            umask=0o022,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotStaged(f"{what} cannot be installed: {error}") from error
    if ended.returncode != 0:
        said = [line for line in ended.stderr.strip().splitlines() if line.strip()]
        raise NotStaged(f"{what} cannot be installed: {said[-1] if said else 'it just ended'}")
