"""Standing in for the owner of a data directory when no node runs on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import msgspec
from anyio.from_thread import start_blocking_portal

from urbanos_edge import control
from urbanos_edge.cli.owner import by_owner, patience_s
from urbanos_edge.commands import BEGINS, commands
from urbanos_edge.database import DATABASE_NAME
from urbanos_edge.errors import EdgeError, NotFound
from urbanos_edge.node import Node
from urbanos_edge.progress import Tell, ignore_progress
from urbanos_edge.settings import default_config, load


@contextmanager
def attending(data_dir: Path) -> Iterator[Callable[[str, Mapping[str, Any]], Any]]:
    """Who runs many commands: the node that owns the directory, or one that stands in for a while.

    Raises:
        DirectoryInUse: somebody else owns it all the time, but does not answer.
    """
    with ExitStack() as stack:

        def there() -> Callable[[str, Mapping[str, Any]], Any]:
            control.request(data_dir, "status")
            return partial(control.request, data_dir)

        def here() -> Callable[[str, Mapping[str, Any]], Any]:
            with ExitStack() as opened:
                portal = opened.enter_context(start_blocking_portal())
                block = portal.wrap_async_context_manager(standing_in(data_dir, may_begin=True))
                known = commands(opened.enter_context(block))
                stack.push(opened.pop_all())
            return lambda command, given: portal.call(_answered, known, command, given)

        yield by_owner(there, here, patience_s(data_dir))


@asynccontextmanager
async def standing_in(
    data_dir: Path, *, may_begin: bool = False, keep_unlisted: bool = False
) -> AsyncIterator[Node]:
    """A node that does not serve, on a directory that is owned until the block ends.

    Raises:
        NotFound: there is no node's data, and it `may_begin` none.
    """
    if not (may_begin or (data_dir / DATABASE_NAME).exists()):
        raise NotFound(f"there is no node's data in {data_dir}; name its directory with --data-dir")
    with control.own(data_dir):
        settings = load({}, config=default_config(data_dir))
        node = Node(settings, data_dir, keep_unlisted=keep_unlisted)
        try:
            yield node
        finally:
            await anyio.to_thread.run_sync(node.close)


async def ask_here(
    data_dir: Path, command: str, arguments: Mapping[str, Any], on_progress: Tell
) -> Any:
    """Run one command on a directory without its node.

    Raises:
        EdgeError: the command's own refusal.
    """
    begins, checks = command in BEGINS, command == "check"
    async with standing_in(data_dir, may_begin=begins, keep_unlisted=checks) as node:
        return await _answered(commands(node), command, arguments, on_progress)


async def _answered(
    known: control.Commands,
    command: str,
    arguments: Mapping[str, Any],
    on_progress: Tell = ignore_progress,
) -> Any:
    request = msgspec.json.encode(control.Request(command, dict(arguments)))
    reply = await control.answer(known, request, on_progress)
    if reply.error is not None:
        raise EdgeError(reply.error["message"], code=reply.error["code"])
    return reply.result
