"""Holds the listening sockets where there is no systemd, and runs the node of the slot in use.

`deploy keep` opens the sockets and becomes this program, which knows nothing of the node: it is
small and need not be replaced with it.

`python -m urbanos_edge.deploy.keeper ROOT COUNT WORD…` takes COUNT sockets from descriptor 3 on,
starts `ROOT/current/bin/urbanos-edge WORD…` and hands them over in systemd's manner; when that
ends, it is started again. SIGHUP ends it for a change of the slot; SIGTERM ends both. Where the
watch of a new version was broken off, the version before begins it anew.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FIRST_DESCRIPTOR: Final = 3
LOCK: Final = "keeper.lock"
STANDING: Final = "keeper.json"
AGAIN_AFTER_S: Final = 1.0
"""After an end that nobody asked for."""
STOP_WITHIN_S: Final = 60.0
"""A node that has not stopped by then is killed."""
LOOK_EVERY_S: Final = 1.0
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_SIGNALS: Final = (*_STOPS, signal.SIGHUP, signal.SIGCHLD)
_WITH_OWN_PID: Final = 'export LISTEN_PID=$$; exec "$@"'
"""For a shell: only the process itself knows what LISTEN_PID is to be."""
_log = logging.getLogger(__name__)


class Keeper:
    """One node at a time, on sockets that stay open."""

    def __init__(self, root: Path, count: int, words: Sequence[str]) -> None:
        self._root = root
        self._count = count
        self._words = words
        self._child: int | None = None
        self._watcher: int | None = None
        self._ends = 0
        self._start_at_s = 0.0
        self._kill_at_s = float("inf")
        self._is_told = self._is_stopping = False
        """Whether the end of the child was asked for; whether this is the end of it all."""

    def run(self) -> None:
        """Keep a node running until SIGTERM or SIGINT."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._start()
        self._go_on_watching()
        while not (self._is_stopping and self._child is None):
            now_s = time.monotonic()
            if self._child is None and now_s >= self._start_at_s:
                self._start()
            if self._child is not None and now_s > self._kill_at_s:
                os.kill(self._child, signal.SIGKILL)
            told = signal.sigtimedwait(_SIGNALS, LOOK_EVERY_S)
            if told is not None and told.si_signo != signal.SIGCHLD:
                self._is_stopping |= told.si_signo in _STOPS
                self._end_child()
            self._reap_watcher()
            self._reap()

    def _go_on_watching(self) -> None:
        program = self._root / "watch" / "bin" / "urbanos-edge"
        if not program.exists():
            return
        words = ["deploy", "watch", "--anew", "--root", str(self._root)]
        self._watcher = os.posix_spawn(program, [str(program), *words], os.environ, setsigmask=())
        _log.info("%s watches", program.parents[1].resolve())

    def _start(self) -> None:
        slot = (self._root / "current").resolve()
        program = [str(slot / "bin" / "urbanos-edge"), *self._words]
        self._is_told, self._kill_at_s = False, float("inf")
        # Each by way of a copy that nothing else uses: one laid on itself would stay closed to it.
        copies = [os.dup(FIRST_DESCRIPTOR + number) for number in range(self._count)]
        actions = [
            (os.POSIX_SPAWN_DUP2, copy, FIRST_DESCRIPTOR + number)
            for number, copy in enumerate(copies)
        ]
        self._child = os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", _WITH_OWN_PID, "urbanos-edge", *program],
            os.environ | {"LISTEN_FDS": str(self._count)},
            file_actions=actions,
            setsigmask=(),
        )
        for copy in copies:
            os.close(copy)
        _log.info("started %s", slot)
        self._tell()

    def _end_child(self) -> None:
        self._is_told, self._start_at_s = True, 0.0
        if self._watcher is not None and self._is_stopping:
            os.kill(self._watcher, signal.SIGTERM)  # it would take the end for a failure
        if self._child is not None:
            os.kill(self._child, signal.SIGTERM)
            self._kill_at_s = time.monotonic() + STOP_WITHIN_S

    def _reap(self) -> None:
        if self._child is None:
            return
        ended, status = os.waitpid(self._child, os.WNOHANG)
        if not ended:
            return
        self._child = None
        if not self._is_told:
            self._ends += 1
            self._start_at_s = time.monotonic() + AGAIN_AFTER_S
            _log.warning("the node ended by itself (%s)", os.waitstatus_to_exitcode(status))
        self._tell()

    def _reap_watcher(self) -> None:
        if self._watcher is not None and os.waitpid(self._watcher, os.WNOHANG)[0]:
            self._watcher = None

    def _tell(self) -> None:
        """Write down how often the node ended by itself; a command that watches reads it."""
        beside = self._root / f".{STANDING}"
        beside.write_text(json.dumps({"ends": self._ends, "node": self._child}), encoding="utf-8")
        beside.rename(self._root / STANDING)


def main(arguments: Sequence[str]) -> None:
    """Be the keeper of a root; there is one at most."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    root, count, words = Path(arguments[0]), int(arguments[1]), arguments[2:]
    for number in range(count):
        os.set_inheritable(FIRST_DESCRIPTOR + number, False)
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"urbanos-edge: {root} has a keeper already")
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    Keeper(root, count, words).run()


if __name__ == "__main__":
    main(sys.argv[1:])
