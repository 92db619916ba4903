"""Who runs the node of the slot in use, and can run the one of the other: systemd, or a keeper."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final, Protocol

from urbanos_edge.deploy.keeper import LOCK, STANDING
from urbanos_edge.errors import EdgeError

UNIT: Final = "urbanos-edge.service"
ANSWER_WITHIN_S: Final = 30


class Service(Protocol):
    """Whoever holds the listening sockets."""

    def restart(self) -> None:
        """End the node and start the one of the slot in use; returns before that is ready."""
        ...

    def ends(self) -> int:
        """How often the node has ended by itself; a restart may begin the count anew."""
        ...


class NoService(EdgeError):
    """Nobody runs the node through the link."""

    code = "no_service"


def find_service(root: Path) -> Service:
    """The keeper of this root if there is one, else systemd's unit.

    Raises:
        NoService: there is neither.
    """
    number = _keeper_of(root)
    if number is not None:
        return KeptNode(root, number)
    if shutil.which("systemctl") and _systemctl("is-active", UNIT, check=False).strip() in (
        *("active", "activating", "failed"),
    ):
        return Unit()
    raise NoService(
        f"nobody runs {root}/current: start {UNIT}, or urbanos-edge deploy keep --root {root}"
    )


class KeptNode:
    """A node that a keeper runs."""

    def __init__(self, root: Path, number: int) -> None:
        self._root = root
        self._number = number

    def restart(self) -> None:
        try:
            os.kill(self._number, signal.SIGHUP)
        except OSError as error:
            raise NoService(f"the keeper cannot be told: {error.strerror}") from error

    def ends(self) -> int:
        try:
            standing = json.loads((self._root / STANDING).read_text(encoding="utf-8"))
            return int(standing["ends"])
        except (OSError, ValueError, KeyError) as error:
            raise NoService(f"the keeper of {self._root} has left no word") from error


class Unit:
    """A node that systemd runs, which holds its sockets in a unit of their own."""

    def restart(self) -> None:
        _systemctl("reset-failed", UNIT, check=False)  # it also counts restarts from 0 again
        _systemctl("restart", "--no-block", UNIT)

    def ends(self) -> int:
        return int(_systemctl("show", "--property=NRestarts", "--value", UNIT).strip() or 0)


def _keeper_of(root: Path) -> int | None:
    """The process that holds the root's lock."""
    try:
        descriptor = os.open(root / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(descriptor, 20))
    finally:
        os.close(descriptor)
    return None


def _systemctl(*words: str, check: bool = True) -> str:
    ended = subprocess.run(
        ["systemctl", *words], capture_output=True, text=True, timeout=ANSWER_WITHIN_S
    )
    if check and ended.returncode != 0:
        raise NoService(f"systemctl {words[0]}: {ended.stderr.strip() or 'it failed'}")
    return ended.stdout
