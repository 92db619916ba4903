"""Who owns the data directory, and how commands reach the owner.

The owner holds a lock on `<data-dir>/lock` for as long as it lives and listens on
`<data-dir>/control.sock` (mode 0600). A command is one line of JSON there and one line back; a long
one sends lines that say how far it is before that.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import msgspec

from urbanos_edge.errors import BadRequest, DirectoryInUse, EdgeError
from urbanos_edge.progress import Tell, ignore_progress

SOCKET: Final = "control.sock"
MAX_LINE: Final = 16 << 20
REQUEST_TIMEOUT_S: Final = 600.0
"""Seconds without a line from the node after which it counts as hung."""
TELL_EVERY_S: Final = 0.1
STILL_AT_WORK_S: Final = 30.0
"""After so long a silence a long command says again how far it is, so that it is not taken for
hung."""
_log = logging.getLogger(__name__)

Command = Callable[[dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class LongCommand:
    """A command that tells how far it is."""

    run: Callable[[dict[str, Any], Tell], Awaitable[Any]]


Commands = Mapping[str, Command | LongCommand]


class NotRunning(EdgeError):
    """No node answers on the data directory's socket."""

    code = "not_running"


class Ended(NotRunning):
    """The node ended before it answered: it may have done what it was asked for, or a part."""

    code = "ended"


class Request(msgspec.Struct):
    """A command and its arguments."""

    command: str
    arguments: dict[str, Any] = {}


class Reply(msgspec.Struct, omit_defaults=True):
    """Its result, or why there is none."""

    result: Any = None
    error: dict[str, str] | None = None


_STOPPING: Final = "stopping"
_STOPS: Final = Reply(error={"code": _STOPPING, "message": "the node stops; run it again"})


class Progress(msgspec.Struct):
    """A line before the reply: how far a long command is, from 0 to 1, and what it does."""

    progress: float
    doing: str


@contextmanager
def own(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; made for its owner only if it is missing.

    Raises:
        DirectoryInUse: another process holds it.
        EdgeError: it cannot be made or written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Root does so as well, where its owner may have put a link in the lock's place.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(data_dir / "lock", flags, 0o600)
    except OSError as error:
        raise EdgeError(f"{data_dir} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DirectoryInUse(
            f"{data_dir} is in use by another node or command; stop it or name another --data-dir"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def request(
    data_dir: Path,
    command: str,
    arguments: Mapping[str, Any] | None = None,
    on_progress: Tell = ignore_progress,
    within_s: float = REQUEST_TIMEOUT_S,
) -> Any:
    """Ask the node that owns the directory and return its result.

    Raises:
        TimeoutError: it says nothing for so long.
        NotRunning: nobody answers there.
        Ended: who answered ended in the midst of it.
        EdgeError: the node's own refusal, with its code.
    """
    asked = Request(command, dict(arguments or {}))
    with _connected(data_dir, within_s) as connection, connection.makefile("rb") as lines:
        try:
            connection.sendall(msgspec.json.encode(asked) + b"\n")
            line = lines.readline(MAX_LINE)
            while (step := _progress(line)) is not None:
                on_progress(step.progress, step.doing)
                line = lines.readline(MAX_LINE)
        except ConnectionError:
            line = b""
    if not line:
        raise Ended(f"the node on {data_dir} ended before it answered; run it again")
    reply = msgspec.json.decode(line, type=Reply)
    if reply.error is not None and reply.error["code"] == _STOPPING:
        raise Ended(reply.error["message"])
    if reply.error is not None:
        raise EdgeError(reply.error["message"], code=reply.error["code"])
    return reply.result


def _progress(line: bytes) -> Progress | None:
    """The line as one of progress, or None when it is the reply or the end."""
    try:
        return msgspec.json.decode(line, type=Progress)
    except msgspec.DecodeError:
        return None


def was_served(data_dir: Path) -> bool:
    """Whether a node runs there, or has ended without being told to; it may be on its way back."""
    return os.path.exists(data_dir / SOCKET)  # as a Path it raises where one may not look


@contextmanager
def _connected(data_dir: Path, within_s: float) -> Iterator[socket.socket]:
    with _reachable(data_dir) as path, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(within_s)
        try:
            connection.connect(path)
        except OSError as error:
            raise NotRunning(f"no node runs on {data_dir}") from error
        yield connection


@contextmanager
def _reachable(data_dir: Path) -> Iterator[str]:
    """The socket's path by way of a descriptor: a long one would not fit into an address."""
    try:
        folder = os.open(data_dir, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise NotRunning(f"there is no data directory at {data_dir}") from error
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


class Reader(NamedTuple):
    """Where a node serves, and the token that reading takes there; none where it is public."""

    url: str
    token: str | None
    token_id: int | None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


def may_read(data_dir: Path, name: str, within_s: float = REQUEST_TIMEOUT_S) -> Reader:
    """Be let in to the node that owns the directory: with a token of this name, if it takes one.

    Raises:
        TimeoutError, NotRunning: as `request`.
    """
    status = request(data_dir, "status", within_s=within_s)
    if status["public_read"]:
        return Reader(status["url"], None, None)
    wanted = {"scope": "sync", "name": name}
    lent = request(data_dir, "token", wanted, within_s=within_s)
    return Reader(lent["url"], lent["token"], lent["id"])


def reads_no_more(data_dir: Path, token_id: int | None) -> None:
    """Give back what `may_read` lent; a node that does not run keeps it."""
    if token_id is not None:
        with suppress(NotRunning):
            request(data_dir, "revoke_token", {"id": token_id})


class Listener:
    """Answers commands, each in a task that is cancelled when it closes."""

    def __init__(self, commands: Commands, socket_file: Path) -> None:
        self._commands = commands
        self._socket_file = socket_file
        self._under_way: set[anyio.CancelScope] = set()
        self._one_ended = anyio.Event()
        self._server: asyncio.Server | None = None
        self._is_closed = False

    async def open(self, path: str) -> None:
        self._server = await asyncio.start_unix_server(self._converse, path, limit=MAX_LINE)

    def close(self) -> None:
        """Take no more; who waits for an answer is told that there will be none."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()
        for scope in self._under_way:
            scope.cancel()

    async def end(self) -> None:
        """Close, and wait until nothing is at work for a command any more, in a thread neither.

        The socket is left by a node that crashed only: one that was stopped is not waited for.
        """
        self.close()
        while self._under_way:
            self._one_ended = anyio.Event()
            await self._one_ended.wait()
        self._socket_file.unlink(missing_ok=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with anyio.CancelScope() as scope, self._noted(scope):
                await self._answer(reader, writer)
            if scope.cancelled_caught:
                writer.write(msgspec.json.encode(_STOPS) + b"\n")
        except (ConnectionError, ValueError):
            _log.warning("a command on the control socket was broken off")
        finally:
            writer.close()

    @contextmanager
    def _noted(self, scope: anyio.CancelScope) -> Iterator[None]:
        if self._is_closed:
            scope.cancel()
        self._under_way.add(scope)
        try:
            yield
        finally:
            self._under_way.remove(scope)
            self._one_ended.set()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        reply = await answer(self._commands, line, _Teller(writer).tell)
        writer.write(msgspec.json.encode(reply) + b"\n")
        await writer.drain()


async def listen(data_dir: Path, commands: Commands) -> Listener:
    """Answer commands on the directory's socket until what is returned is closed."""
    (data_dir / SOCKET).unlink(missing_ok=True)
    listener = Listener(commands, data_dir / SOCKET)
    with _reachable(data_dir) as path:
        mask = os.umask(0o177)
        try:
            await listener.open(path)
        finally:
            os.umask(mask)
    return listener


class _Teller:
    """Sends progress from any thread, a line at most every `TELL_EVERY_S`, and repeats the last."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._last_s = -TELL_EVERY_S
        self._repeating: asyncio.TimerHandle | None = None

    def tell(self, progress: float, doing: str) -> None:
        if time.monotonic() - self._last_s >= TELL_EVERY_S:
            self._last_s = time.monotonic()
            line = msgspec.json.encode(Progress(round(progress, 4), doing)) + b"\n"
            self._loop.call_soon_threadsafe(self._send, line)

    def _send(self, line: bytes) -> None:
        if self._repeating is not None:
            self._repeating.cancel()
        if not self._writer.is_closing():
            self._writer.write(line)
            self._repeating = self._loop.call_later(STILL_AT_WORK_S, self._send, line)


async def answer(commands: Commands, line: bytes, tell: Tell = ignore_progress) -> Reply:
    """Run one command; its errors become the reply."""
    try:
        asked = msgspec.json.decode(line, type=Request)
        command = commands.get(asked.command)
        if command is None:
            raise BadRequest(f"there is no command '{asked.command}'", code="unknown_command")
        if isinstance(command, LongCommand):
            tell(0.0, "beginning")
            return Reply(result=await command.run(asked.arguments, tell))
        return Reply(result=await command(asked.arguments))
    except EdgeError as error:
        return Reply(error={"code": error.code, "message": error.message})
    except msgspec.MsgspecError as error:
        return Reply(error={"code": "bad_request", "message": str(error)})
    except Exception:
        _log.exception("a command failed")
        return Reply(error={"code": "internal_error", "message": "the command failed; see the log"})
