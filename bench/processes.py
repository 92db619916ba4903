"""Processes that a benchmark starts: they end with it, each by its own id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

STOP_WITHIN_S: Final = 30.0


class NotStarted(Exception):
    """A process ended, or did not answer in time."""


@contextmanager
def running(
    words: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    stop_by: signal.Signals = signal.SIGTERM,
    descriptors: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends; its output goes to `log`, `descriptors` are its too.

    `setpriv` lets the kernel end it even when this process is killed.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*_tied(stop_by, user), *words],
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=descriptors,
        )
    try:
        yield process
    finally:
        stop(process, stop_by)


def stop(process: subprocess.Popen[Any], by: signal.Signals = signal.SIGTERM) -> None:
    """End a process in order, or by force when it takes too long."""
    if process.poll() is None:
        process.send_signal(by)
    try:
        process.wait(timeout=STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tied(stop_by: signal.Signals, user: str | None) -> list[str]:
    words = (
        ["setpriv", "--pdeathsig", stop_by.name.removeprefix("SIG")]
        if shutil.which("setpriv")
        else []
    )
    if user is not None and words:
        words += ["--reuid", user, "--regid", user, "--clear-groups"]
    return words


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(is_true: Callable[[], object], within_s: float, log: Path) -> float:
    """Return after how many seconds it became true.

    Raises:
        NotStarted: it did not; the message ends with the end of the log.
    """
    started_s = time.monotonic()
    while not is_true():
        if time.monotonic() - started_s > within_s:
            raise NotStarted(f"not within {within_s:g} s: {end_of(log)}")
        time.sleep(0.005)
    return time.monotonic() - started_s


def end_of(log: Path) -> str:
    """The last lines of a log."""
    return log.read_text(encoding="utf-8", errors="replace")[-1500:] if log.exists() else ""


def accepts(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def rss_mib(pid: int) -> float:
    """The memory a process holds now, in MiB."""
    return _status_kib(pid, "VmRSS") / 1024


def peak_rss_mib(pid: int) -> float:
    """The most it held since it began, or since `forget_peak`."""
    return _status_kib(pid, "VmHWM") / 1024


def forget_peak(pid: int) -> None:
    """Let the peak begin anew from what is held now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def _status_kib(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)
