"""Two places for the program, `blue` and `green`: what is in them, and which one is in use.

```
<root>/blue, <root>/green   an environment each, with its version of the node
<root>/current              a link to the one in use; whoever starts the node goes through it
<root>/watch                a link to the one that was before, while it watches the one in use
<root>/state.json           what is in them and how the last change went
<root>/release.pub          whose releases are taken (minisign); without it, a hash must be given
```
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from urbanos_edge.errors import EdgeError
from urbanos_edge.schemas import WAY_BACK_US, readable_from
from urbanos_edge.store.integrity import sync_path

NAMES: Final = ("blue", "green")
CURRENT: Final = "current"
WATCH: Final = "watch"
PUBLIC_KEY: Final = "release.pub"
DEFAULT_ROOT: Final = "/opt/urbanos-edge"
ROOT_VARIABLE: Final = "URBANOS_ROOT"
MAX_HISTORY: Final = 50
"""Changes that are remembered, the newest."""

Phase = Literal["settled", "watching"]


class Slot(msgspec.Struct, kw_only=True):
    """What was put into a slot."""

    version: str
    schema: int
    readable_from: int
    """The oldest schema whose version can read what this one writes."""
    sha256: str
    signed: str | None
    """The comment of the release's signature; None: it came with a hash only."""
    staged_at_us: int
    checked_at_us: int | None = None
    problems: list[str] | None = None
    """What the last check found; None: there was none."""


class Event(msgspec.Struct):
    """One change of the slot in use, or one that was taken back."""

    at_us: int
    what: str


class State(msgspec.Struct):
    """What is in the slots; the link `current` says which is in use."""

    slots: dict[str, Slot] = {}
    phase: Phase = "settled"
    previous: str | None = None
    """The slot that was in use before, and may come back."""
    changed_at_us: int = 0
    watch_until_us: int = 0
    watch_s: float = 600.0
    """How long the watch is, should it have to begin anew."""
    history: list[Event] = []


class NoSlot(EdgeError):
    """There is nothing in the slot that was asked for."""

    code = "no_slot"


class Slots:
    """The two slots below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._file = self.root / "state.json"

    @property
    def current(self) -> str | None:
        """The slot in use; None before the first one is."""
        try:
            name = os.readlink(self.root / CURRENT)
        except OSError:
            return None
        return name if name in NAMES else None

    @property
    def idle(self) -> str:
        """The slot that a new version goes into."""
        return NAMES[1] if self.current == NAMES[0] else NAMES[0]

    @property
    def public_key(self) -> Path | None:
        path = self.root / PUBLIC_KEY
        return path if path.is_file() else None

    def folder(self, name: str) -> Path:
        return self.root / name

    def program(self, name: str) -> Path:
        """The `urbanos-edge` of a slot."""
        return self.root / name / "bin" / "urbanos-edge"

    def load(self) -> State:
        """What is written down; nothing is before the first staging.

        Raises:
            EdgeError: it is damaged.
        """
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except (OSError, msgspec.DecodeError) as error:
            raise EdgeError(f"{self._file} cannot be read: {error}") from error

    def save(self, state: State) -> None:
        """Write it down, whole or not at all.

        Whoever starts the node looks for the link `watch`, so it is there before a watch is
        written down, and until its end is.
        """
        if state.phase == "watching" and state.previous is not None:
            self._link(WATCH, state.previous)
        state.history = state.history[-MAX_HISTORY:]
        beside = self._file.with_suffix(".new")
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
        sync_path(beside)
        beside.rename(self._file)
        sync_path(self.root)
        if state.phase == "settled":
            (self.root / WATCH).unlink(missing_ok=True)

    def use(self, name: str) -> None:
        """Let `current` be this slot from one moment to the next."""
        self._link(CURRENT, name)

    def empty(self, name: str) -> None:
        """Take out what is in a slot that is not in use."""
        shutil.rmtree(self.folder(name), ignore_errors=True)

    def _link(self, link: str, name: str) -> None:
        beside = self.root / f".{link}"
        beside.unlink(missing_ok=True)
        beside.symlink_to(name)
        beside.rename(self.root / link)
        sync_path(self.root)

    @contextmanager
    def changing(self) -> Iterator[State]:
        """Hold the slots alone; the state is the one that is written down.

        Raises:
            EdgeError: another command changes them, or they cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / "deploy.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EdgeError(f"{self.root} cannot be written: {error.strerror}; be root?") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            state = self.load()
            self._adopt(state)
            yield state
        except BlockingIOError as error:
            raise EdgeError("another deploy command is at work", code="busy") from error
        finally:
            os.close(descriptor)

    def _adopt(self, state: State) -> None:
        """Take in the slot in use where an installation, and no `deploy stage`, has filled it."""
        name = self.current
        if name is None or name in state.slots:
            return
        schema, readable = schemas_in(self.folder(name))
        state.slots[name] = Slot(
            version=version_of(self.program(name)),
            schema=schema,
            readable_from=readable,
            sha256="",
            signed=None,
            staged_at_us=time.time_ns() // 1000,
        )


def version_of(program: Path) -> str:
    """What the `urbanos-edge` of a slot says it is.

    Raises:
        NoSlot: it says nothing.
    """
    try:
        said = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoSlot(f"{program} does not run: {error}") from error
    return said.stdout.strip().rpartition(" ")[2]


def is_kept(state: State, name: str, now_us: int) -> bool:
    """Whether a slot holds the version that may still have to come back."""
    return state.previous == name and now_us - state.changed_at_us < WAY_BACK_US


def remember(state: State, what: str) -> None:
    """Add a line to the history."""
    state.history.append(Event(time.time_ns() // 1000, what))


def schemas_in(slot: Path) -> tuple[int, int]:
    """The newest schema of the version in a slot, and from which one on its data can be read."""
    pattern = "lib/python3.*/site-packages/urbanos_edge/migrations/edge/[0-9]*_*.up.sql"
    scripts = [path.read_text(encoding="utf-8") for path in sorted(slot.glob(pattern))]
    if not scripts:
        raise NoSlot(f"there is no node in {slot}")
    return len(scripts), max(map(readable_from, scripts))
