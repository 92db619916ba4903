"""Putting a release into the slot that is not in use, offline, without touching the other.

A release is a wheel that carries the lock of all that it needs, by version and hash; the wheels of
those come from a folder. So who vouches for the one wheel vouches for every file in the slot. Both
are copied to where nobody else can write, and only the copies are looked at and installed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
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
APART: Final = ".staging"
"""Below the root: where the copies are meanwhile."""
PIP_WITHIN_S: Final = 1800
_PIP: Final = ("--isolated", "--disable-pip-version-check", "--no-input", "--quiet")
_OFFLINE: Final = ("--no-index", "--only-binary=:all:")
_HASHES: Final = re.compile(rb"--hash=sha256:([0-9a-f]{64})")


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
    signature = vouched.signature or wheel.with_name(f"{wheel.name}.minisig")
    with slots.changing() as state, _apart(slots) as apart:
        name = slots.idle
        _check_free(state, name, now)
        tell(0.0, "checking the release")
        release = _copied(wheel, apart)
        sha256, signed = _check(slots, release, vouched, signature)
        state.slots.pop(name, None)
        state.previous = None if state.previous == name else state.previous
        slots.save(state)
        try:
            _fill(slots.folder(name), release, wheelhouse, part_of(tell, 0.1, 0.9))
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


@contextmanager
def _apart(slots: Slots) -> Iterator[Path]:
    """A folder that nobody else can write to, as long as the block lasts."""
    folder = slots.root / APART
    shutil.rmtree(folder, ignore_errors=True)  # a power cut may have left one
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copied(file: Path, folder: Path) -> Path:
    try:
        return Path(shutil.copyfile(file, folder / file.name))
    except OSError as error:
        raise NotStaged(f"{file.name} cannot be copied: {error.strerror}") from error


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check(slots: Slots, wheel: Path, vouched: Vouched, signature: Path) -> tuple[str, str | None]:
    """The wheel's hash, and the comment it was signed with where a key is installed."""
    sha256 = _sha256(wheel)
    if vouched.sha256 is not None and vouched.sha256.lower() != sha256:
        raise NotStaged(f"{wheel.name} has the SHA-256 {sha256}, not the one that was given")
    key = slots.public_key
    if key is not None:
        return sha256, check_signature(wheel, signature, key)
    if vouched.signature is not None:
        raise NotStaged(f"there is no key to check a signature with: {slots.root}/release.pub")
    if vouched.sha256 is None:
        raise NotStaged(f"say what {wheel.name} should be: --sha256, of where it comes from")
    return sha256, None


def _fill(folder: Path, wheel: Path, wheelhouse: Path, tell: Tell) -> None:
    apart, lock = wheel.parent, wheel.with_name("lock.txt")
    lock.write_bytes(_lock(wheel))
    _gather(lock, wheelhouse)
    tell(0.0, "making the environment")
    # Without -I a module would come from the folder that one stands in.
    _run("an environment", sys.executable, "-I", "-m", "venv", "--clear", str(folder))
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", *_PIP, "install", *_OFFLINE]
    tell(0.2, "installing what it needs")
    words = ["--find-links", str(apart), "--require-hashes", "--requirement", str(lock)]
    _run("what it needs", *pip, *words)
    tell(0.8, "installing the release")
    _run(wheel.name, *pip, "--no-deps", str(wheel))


def _gather(lock: Path, wheelhouse: Path) -> None:
    """Copy what a lock names to beside it: pip reads a file anew after it has compared its hash."""
    wanted = {found.decode() for found in _HASHES.findall(lock.read_bytes())}
    for wheel in wheelhouse.glob("*.whl"):
        if wheel.is_file() and _sha256(wheel) in wanted:
            _copied(wheel, lock.parent)


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
