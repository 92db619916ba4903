"""Trying a staged version on a copy of the data, unnoticed by the one in use.

Both versions run on copies, reach nobody and are asked the same; then the version in use opens what
the new one has left, as it would have to after a rollback.

Root believes nothing here that the node says: it copies, starts and removes what it is told to with
the rights of the data's owner.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, NamedTuple

import httpx
import msgspec

from urbanos_edge import control
from urbanos_edge.deploy.comparison import Answer, difference, is_worth_asking, percentile, shape
from urbanos_edge.errors import EdgeError
from urbanos_edge.progress import Tell, part_of
from urbanos_edge.rights import acting_as

READY_WITHIN_S: Final = 60.0
STOP_WITHIN_S: Final = 30.0
ANSWER_WITHIN_S: Final = 30.0
MAX_ASKED: Final = 300
"""Different targets that are asked; the newest of those that were asked lately."""
ALWAYS_ASKED: Final = (
    *("/health/ready", "/api/v1/status", "/api/v1/sensors", "/", "/tiles/readings.json"),
    *("/tiles/readings/0/0/0.mvt", "/api/v1/grids/z0-x0-y0", "/api/v1/grids/z0-x0-y0/data"),
    "/api/v1/clusters?minLat=-85&minLng=-180&maxLat=85&maxLng=180&gridSize=10",
)
SLOWER: Final = 2.0
"""How many times the old version's time an answer may take, and `GRACE_S` more."""
GRACE_S: Final = 0.1
SETTINGS: Final = {
    "REHEARSAL": "true",
    "HOST": "127.0.0.1",
    "PORT": "0",
    "TLS_PORT": "0",
    "FLUSH_INTERVAL_S": "3600",
    "DUCKDB_MEMORY_MIB": "256",
    "RECENT_MEMORY_MIB": "48",
    "RATE_LIMIT": "1000000/second",
    "TILE_RATE_LIMIT": "1000000/second",
}
"""What the copies are told whatever the node is: to be silent, and small beside it."""
NICENESS: Final = 10
_ENDING: Final = (signal.SIGHUP, signal.SIGTERM)
_SIGNALLED: Final = 128
"""What shells add to a signal's number for the exit code of who ended by it."""
_ENVIRONMENT: Final = ("LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_", "URBANOS_", "PYTHON")


class Findings(msgspec.Struct):
    """What a rehearsal showed."""

    asked: int
    """Targets, of which `lately` were asked of the node in use."""
    lately: int
    problems: list[str]
    """In words; none: the new version may take over."""
    notes: list[str]
    old_p95_ms: float
    new_p95_ms: float


class Failed(EdgeError):
    """A version does not get on with the copy."""

    code = "rehearsal_failed"


class Copy(NamedTuple):
    """A copy of the data, whose they are, and the version that is to run on it."""

    program: Path
    data_dir: Path
    owner: os.stat_result


def rehearse(old: Path, new: Path, data_dir: Path, tell: Tell) -> Findings:
    """Run two programs on copies of the data and compare what they say.

    Raises:
        NotRunning: no node runs on the data; who stands in for it might not be its user.
        EdgeError: there is no room for the copies, or the version in use does not run on one.
    """
    targets, owner = _targets(data_dir), data_dir.stat()
    with _told_to_end():
        folder = Path(control.request(data_dir, "copy", None, part_of(tell, 0.0, 0.4))["folder"])
        other = folder.with_name(f"{folder.name}.old")
        try:
            tell(0.4, "copying the copy")
            with acting_as(owner):
                _copy(folder, other)
            before, after = Copy(old, other, owner), Copy(new, folder, owner)
            return _compare(before, after, targets, part_of(tell, 0.5, 1.0))
        finally:
            with acting_as(owner):
                shutil.rmtree(folder, ignore_errors=True)
                shutil.rmtree(other, ignore_errors=True)


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Let a terminal that closes, or a stop, end the block as Ctrl-C does: with what it cleans up.

    Told again meanwhile, it finishes that. Under `nohup` it goes on without its terminal.
    """

    def end(number: int, _: FrameType | None) -> None:
        for one in _ENDING:
            signal.signal(one, signal.SIG_IGN)
        raise SystemExit(_SIGNALLED + number)

    heard = [one for one in _ENDING if signal.getsignal(one) is not signal.SIG_IGN]
    former = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _targets(data_dir: Path) -> list[str]:
    """What was asked of the node lately, each once, the newest last."""
    asked = [
        target for target in control.request(data_dir, "recent_gets") if is_worth_asking(target)
    ]
    return list(dict.fromkeys(reversed(asked)))[:MAX_ASKED][::-1]


def _copy(folder: Path, other: Path) -> None:
    try:
        shutil.copytree(folder, other)
    except OSError as error:
        why = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        raise EdgeError(f"the owner of the data cannot copy {folder}: {why}") from error


def _compare(old: Copy, new: Copy, targets: list[str], tell: Tell) -> Findings:
    with ExitStack() as stack:
        tell(0.0, "starting the version in use on a copy")
        before = stack.enter_context(running(old))
        tell(0.2, "starting the staged version on a copy")
        try:
            after = stack.enter_context(running(new))
        except Failed as error:
            return Findings(0, len(targets), [f"it does not start: {error.message}"], [], 0, 0)
        tell(0.4, "asking both the same")
        findings = _ask_both(before, after, list(dict.fromkeys((*ALWAYS_ASKED, *targets))))
        findings.lately = len(targets)
    if findings.problems:
        return findings
    tell(0.8, "rehearsing the way back")
    try:
        with running(new._replace(program=old.program)):
            findings.notes.append("the version in use opens what the staged one has left")
    except Failed as error:
        findings.problems.append(f"there is no way back from it: {error.message}")
    return findings


class Running:
    """A node on a copy."""

    def __init__(self, url: str, token: str) -> None:
        self.client = httpx.Client(
            base_url=url,
            # Addresses that they make of what they are called would differ otherwise.
            headers={"Authorization": f"Bearer {token}", "Host": "127.0.0.1"},
            timeout=ANSWER_WITHIN_S,
            trust_env=False,
        )

    def ask(self, target: str) -> Answer:
        """GET it; status 0 where there was no answer."""
        began_s = time.perf_counter()
        try:
            got = self.client.get(target)
        except httpx.HTTPError as error:
            return Answer(0, "", str(error).encode(), time.perf_counter() - began_s)
        took_s = time.perf_counter() - began_s
        media_type = got.headers.get("content-type", "").partition(";")[0]
        return Answer(got.status_code, media_type, got.content, took_s)


@contextmanager
def running(copy: Copy) -> Iterator[Running]:
    """Run a version on a copy, as the owner of the data, until the block ends.

    Raises:
        Failed: it ended, or was not ready in time.
    """
    program, data_dir, owner = copy
    as_owner: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": ()}
    words = [str(program), "serve", "--data-dir", str(data_dir)]
    if nice := shutil.which("nice"):
        words = [nice, "-n", str(NICENESS), *words]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, env=_environment(), stdout=log, stderr=log, **as_owner)
        try:
            node = _when_ready(process, data_dir, log)
            with node.client:
                yield node
        finally:
            _stop(process)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_ENVIRONMENT)}
    return kept | {f"URBANOS_{name}": value for name, value in SETTINGS.items()}


def _when_ready(process: subprocess.Popen[bytes], data_dir: Path, log: IO[bytes]) -> Running:
    until_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until_s:
        if process.poll() is not None:
            raise Failed(_last_words(log))
        try:
            url = control.request(data_dir, "status", within_s=ANSWER_WITHIN_S)["url"]
            ready = httpx.get(f"{url}/health/ready", timeout=ANSWER_WITHIN_S, trust_env=False)
            if ready.status_code == httpx.codes.OK:
                control.request(data_dir, "flush")
                return Running(url, control.request(data_dir, "token", {"scope": "admin"})["token"])
        except (control.NotRunning, OSError, httpx.HTTPError):
            pass  # not yet
        time.sleep(0.2)
    raise Failed(f"it was not ready within {READY_WITHIN_S:.0f} s")


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("urbanos-edge: ") if lines else "it just ended"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ask_both(before: Running, after: Running, targets: Sequence[str]) -> Findings:
    """Ask for each target twice, once as it comes and once from the cache, one after the other."""
    olds, news, problems, more = [], [], [], set[str]()
    for target in targets:
        for _ in range(2):
            old, new = before.ask(target), after.ask(target)
            olds.append(old.took_s)
            news.append(new.took_s)
        differs = difference(target, old, new)
        if differs is not None:
            problems.append(f"{target} {differs}")
        elif old.value is not None:
            more |= shape(new.value) - shape(old.value)
    old_s, new_s = percentile(olds, 0.95), percentile(news, 0.95)
    if new_s > SLOWER * old_s + GRACE_S:
        problems.append(f"95 % of answers take up to {new_s:.3f} s, not {old_s:.3f} s")
    notes = [f"{len(more)} fields are new, such as {min(more)}"] if more else []
    return Findings(len(targets), 0, problems, notes, _ms(old_s), _ms(new_s))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
