"""The web application: routes, error rendering, and the tasks that run beside them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from typing import Any, Final, cast

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from litestar import Litestar
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from urbanos_edge import api, ws
from urbanos_edge.api import gate, ingest, metrics, pages, refusals
from urbanos_edge.api.document import SCHEMES, ExactNumbers, documented, told_at_its_address
from urbanos_edge.api.respond import error_response
from urbanos_edge.commands import commands
from urbanos_edge.control import listen
from urbanos_edge.demo.fleet import Fleet
from urbanos_edge.demo.reporting import run_fleet
from urbanos_edge.discovery.discovery import run_discovery
from urbanos_edge.errors import EdgeError
from urbanos_edge.logbook import begin_request
from urbanos_edge.memory import Garbage
from urbanos_edge.node import Node
from urbanos_edge.own_atlas import drawing
from urbanos_edge.upkeep import rounds
from urbanos_edge.upkeep.upkeep import back_up_daily, scrub_forever
from urbanos_edge.upkeep.vigil import watch_forever

BEGIN_AGAIN_S: Final = 5
MAX_FORM_BYTES: Final = 1 << 20
"""Of a body that the framework reads; the doors for readings have a limit of their own."""
WORKER_THREADS: Final = 8
"""Threads for blocking calls: queries, flushes, files."""

_log = logging.getLogger(__name__)


def create_app(node: Node, url: str, port: int) -> ASGIApp:
    """The ASGI application of an opened node, which it closes when it ends."""
    public_read = node.settings.public_read
    app = Litestar(
        route_handlers=[*documented(api.routes(node), public_read), ws.route(node.live)],
        lifespan=[lambda _: _running(node, url, port)],
        exception_handlers={Exception: error_response},
        openapi_config=told_at_its_address("UrbanOS Edge", SCHEMES),
        plugins=[ExactNumbers()],
        request_max_body_size=MAX_FORM_BYTES,
        state=State({"answers": node.answers}),
        logging_config=None,
    )
    node.answers.drawing = drawing(node)
    inside = gate.guarded(ingest.past_the_router(app, node), node.access, pages.asset_names())
    noted = refusals.noted(inside, node.access.door.refusals)
    return head_as_get(named(metrics.counted(noted, node.traffic)))


def named(app: ASGIApp) -> ASGIApp:
    """Give each request an id, which its answer and the lines of the log about it carry."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        field = (b"x-request-id", begin_request().encode())

        async def finishing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], field]
            await send(message)

        await app(scope, receive, finishing)

    return wrapped


def head_as_get(app: ASGIApp) -> ASGIApp:
    """Answer HEAD wherever GET is answered; the server leaves the body out."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == "HEAD":
            scope = cast(Scope, {**scope, "method": "GET"})
            send = _head_only(send)
        await app(scope, receive, send)

    return wrapped


def _head_only(send: Send) -> Send:
    """End the answer with its head: a stream would go on for ever."""
    is_over = False

    async def wrapped(message: Message) -> None:
        nonlocal is_over
        if message["type"] != "http.response.body":
            await send(message)
        elif not is_over:
            is_over = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return wrapped


@asynccontextmanager
async def _running(node: Node, url: str, port: int) -> AsyncIterator[None]:
    """Everything the node does by itself, from start to stop; the last flush is the end of it."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = WORKER_THREADS
    await node.registry.finish_claims()
    control = await listen(node.data_dir, commands(node, url))
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kept_running, rounds.flush_forever, node)
            tasks.start_soon(kept_running, rounds.compact_forever, node)
            tasks.start_soon(kept_running, rounds.count_hours_forever, node)
            tasks.start_soon(kept_running, rounds.load_recent_forever, node)
            tasks.start_soon(kept_running, rounds.expire_forever, node)
            tasks.start_soon(kept_running, rounds.watch_disk_forever, node)
            tasks.start_soon(kept_running, scrub_forever, node)
            tasks.start_soon(kept_running, rounds.watch_clock_forever, node)
            tasks.start_soon(kept_running, rounds.watch_readiness_forever, node)
            tasks.start_soon(kept_running, watch_forever, node)
            tasks.start_soon(kept_running, node.live.look_forever)
            if not node.settings.rehearsal:
                _reach_out(tasks, node, port)
            if node.tls.port is not None:
                tasks.start_soon(kept_running, node.tls.renew_forever)
            garbage = Garbage()
            tasks.start_soon(kept_running, garbage.look_through_forever)
            with closing(control), garbage.set_aside():
                yield
            tasks.cancel_scope.cancel()
    finally:
        await control.end()
        await _stop(node)


def _reach_out(tasks: TaskGroup, node: Node, port: int) -> None:
    """Everything that others notice, or that brings something from them."""
    settings = node.settings
    tasks.start_soon(kept_running, back_up_daily, node)
    tasks.start_soon(kept_running, node.purge.send_forever)
    tasks.start_soon(kept_running, node.delivery.send_forever)
    tasks.start_soon(kept_running, node.pulls.fetch_forever)
    if settings.sync_dsn:
        tasks.start_soon(kept_running, node.sync.run_forever)
    if settings.mqtt_url:
        tasks.start_soon(kept_running, node.subscription.listen_forever)
    if settings.demo:
        tasks.start_soon(kept_running, run_fleet, node, Fleet())
    if settings.announce or settings.discover:
        reached_at = port, node.tls.port
        tasks.start_soon(kept_running, run_discovery, node.nearby, settings, *reached_at)


async def kept_running(work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Run what should never end; when it fails it is logged and begun again.

    One task that failed would otherwise end all of them, and with them the node's life behind a
    server that still answers.
    """
    while True:
        try:
            await work(*arguments)
        except Exception:
            _log.exception("a background task failed and begins again")
        await anyio.sleep(BEGIN_AGAIN_S)


async def _stop(node: Node) -> None:
    try:
        await node.flush()
    except EdgeError:
        pass  # what could not be stored waits in the spool for the next start
    finally:
        await anyio.to_thread.run_sync(node.close)
