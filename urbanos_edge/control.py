"""Who owns the data directory, and how commands reach the owner.

The owner holds a lock on `<data-dir>/lock` for as long as it lives and listens on
`<data-dir>/control.sock` (mode 0600). A command is one line of JSON there and one line back.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from urbanos_edge.errors import BadRequest, DirectoryInUse, EdgeError

MAX_LINE: Final = 16 << 20
REQUEST_TIMEOUT_S: Final = 600.0
_log = logging.getLogger(__name__)

Command = Callable[[dict[str, Any]], Awaitable[Any]]


class NotRunning(EdgeError):
    """No node answers on the data directory's socket."""

    code = "not_running"


class Request(msgspec.Struct):
    """A command and its arguments."""

    command: str
    arguments: dict[str, Any] = {}


class Reply(msgspec.Struct, omit_defaults=True):
    """Its result, or why there is none."""

    result: Any = None
    error: dict[str, str] | None = None


@contextmanager
def own(data_dir: Path) -> Iterator[None]:
    """Hold the data directory; made if it is missing.

    Raises:
        DirectoryInUse: another process holds it.
        EdgeError: it cannot be made or written.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EdgeError(f"{data_dir} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DirectoryInUse(
            f"another node already runs on {data_dir}; stop it or name another --data-dir"
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def request(data_dir: Path, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """Ask the node that owns the directory and return its result.

    Raises:
        NotRunning: nobody answers there.
        EdgeError: the node's own refusal, with its code.
    """
    asked = Request(command, dict(arguments or {}))
    with _connected(data_dir) as connection, connection.makefile("rb") as lines:
        connection.sendall(msgspec.json.encode(asked) + b"\n")
        line = lines.readline(MAX_LINE)
    if not line:
        raise NotRunning(f"the node on {data_dir} ended before it answered")
    reply = msgspec.json.decode(line, type=Reply)
    if reply.error is not None:
        raise EdgeError(reply.error["message"], code=reply.error["code"])
    return reply.result


@contextmanager
def _connected(data_dir: Path) -> Iterator[socket.socket]:
    with _reachable(data_dir) as path, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(REQUEST_TIMEOUT_S)
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
        yield f"/proc/self/fd/{folder}/control.sock"
    finally:
        os.close(folder)


async def listen(data_dir: Path, commands: Mapping[str, Command]) -> asyncio.Server:
    """Answer commands on the directory's socket until the returned server is closed."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            writer.write(msgspec.json.encode(await answer(commands, line)) + b"\n")
            await writer.drain()
        except (ConnectionError, ValueError):
            _log.warning("a command on the control socket was broken off")
        finally:
            writer.close()

    (data_dir / "control.sock").unlink(missing_ok=True)
    with _reachable(data_dir) as path:
        mask = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(converse, path, limit=MAX_LINE)
        finally:
            os.umask(mask)


async def answer(commands: Mapping[str, Command], line: bytes) -> Reply:
    """Run one command; its errors become the reply."""
    try:
        asked = msgspec.json.decode(line, type=Request)
        command = commands.get(asked.command)
        if command is None:
            raise BadRequest(f"there is no command '{asked.command}'", code="unknown_command")
        return Reply(result=await command(asked.arguments))
    except EdgeError as error:
        return Reply(error={"code": error.code, "message": error.message})
    except msgspec.MsgspecError as error:
        return Reply(error={"code": "bad_request", "message": str(error)})
    except Exception:
        _log.exception("a command failed")
        return Reply(error={"code": "internal_error", "message": "the command failed; see the log"})
