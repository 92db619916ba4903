"""What the owner of a data directory does when asked, over the control socket or in its stead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio.to_thread
import msgspec

from urbanos_edge import health
from urbanos_edge.basemap import import_basemap
from urbanos_edge.check import forget_lost
from urbanos_edge.control import Command, LongCommand
from urbanos_edge.errors import BadRequest
from urbanos_edge.node import BASEMAP_NAME, Node
from urbanos_edge.progress import Tell
from urbanos_edge.tokens import Scope
from urbanos_edge.upkeep import back_up, check


class TokenWanted(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `token`."""

    scope: Scope
    sensor: str | None = None
    name: str = ""


def commands(node: Node, url: str | None = None) -> dict[str, Command | LongCommand]:
    """The commands by name; `url` is where the node serves, if it does."""

    async def token(arguments: dict[str, Any]) -> Any:
        wanted = msgspec.convert(arguments, TokenWanted)
        secret = await node.tokens.create(wanted.scope, sensor_id=wanted.sensor, name=wanted.name)
        return {"token": secret, "id": node.tokens.authenticate(secret).id, "url": url}

    async def tokens(_: dict[str, Any]) -> Any:
        return msgspec.to_builtins(node.tokens.list())

    async def revoke_token(arguments: dict[str, Any]) -> Any:
        await node.tokens.revoke(_number(arguments, "id"))

    async def status(_: dict[str, Any]) -> Any:
        return {"url": url, **await anyio.to_thread.run_sync(health.status, node)}

    async def sensors(_: dict[str, Any]) -> Any:
        return msgspec.to_builtins(node.sensors.list())

    async def dead_letters(arguments: dict[str, Any]) -> Any:
        limit = _number(arguments, "limit")
        return msgspec.to_builtins(await anyio.to_thread.run_sync(node.dead_letters.list, limit))

    async def requeue(arguments: dict[str, Any]) -> Any:
        return await node.requeue(arguments.get("ids"))

    async def purge(arguments: dict[str, Any]) -> Any:
        return await node.dead_letters.purge(arguments.get("ids"))

    async def flush(_: dict[str, Any]) -> Any:
        await node.flush()

    async def compact(_: dict[str, Any], tell: Tell) -> Any:
        return msgspec.to_builtins(await anyio.to_thread.run_sync(node.compactor.finish_all, tell))

    async def expire(arguments: dict[str, Any]) -> Any:
        work = node.expiry.due if arguments.get("dry_run") else node.expiry.drop
        return msgspec.to_builtins(await anyio.to_thread.run_sync(work))

    async def basemap_import(arguments: dict[str, Any]) -> Any:
        source, target = Path(str(arguments["file"])), node.data_dir / BASEMAP_NAME
        await anyio.to_thread.run_sync(import_basemap, source, target, lambda *_: None)
        await anyio.to_thread.run_sync(node.open_basemap)

    async def check_all(arguments: dict[str, Any], tell: Tell) -> Any:
        report = await check(node, repair=bool(arguments.get("repair")), tell=tell)
        if arguments.get("forget_lost"):
            await anyio.to_thread.run_sync(forget_lost, node.store, node.database)
        return msgspec.to_builtins(report)

    async def backup(arguments: dict[str, Any], tell: Tell) -> Any:
        target = arguments.get("target") or node.settings.backup_target
        if not target:
            raise BadRequest("say where to: backup OUT, or the setting backup_target")
        keep = arguments.get("keep") or node.settings.backup_keep
        prove = bool(arguments.get("prove"))
        copied = await back_up(node, str(target), keep=int(keep), prove=prove, tell=tell)
        return {
            "name": copied.catalogue.name,
            "readings": copied.catalogue.readings + copied.catalogue.waiting,
            "bytes": copied.catalogue.bytes,
            "copied_files": copied.files,
            "copied_bytes": copied.bytes,
        }

    return {
        "check": LongCommand(check_all),
        "backup": LongCommand(backup),
        "token": token,
        "tokens": tokens,
        "revoke_token": revoke_token,
        "status": status,
        "sensors": sensors,
        "dead_letters": dead_letters,
        "requeue": requeue,
        "purge": purge,
        "flush": flush,
        "compact": LongCommand(compact),
        "expire": expire,
        "basemap_import": basemap_import,
    }


def _number(arguments: dict[str, Any], name: str) -> int:
    value = arguments.get(name)
    if not isinstance(value, int):
        raise BadRequest(f"'{name}' must be a number")
    return value
