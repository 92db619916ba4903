"""What the owner of a data directory does when asked, over the control socket or in its stead."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, cast

import anyio.to_thread
import msgspec
from prometheus_client import generate_latest

from urbanos_edge.adapters import Location, Name
from urbanos_edge.alerts.rules import read_rule
from urbanos_edge.audit import LOCAL, Audit
from urbanos_edge.backup.check import forget_lost
from urbanos_edge.basemap.basemap import Basemap, import_basemap
from urbanos_edge.clock import HOUR_US, to_rfc3339
from urbanos_edge.control import Command, LongCommand
from urbanos_edge.errors import BadRequest
from urbanos_edge.health import health
from urbanos_edge.health.metrics import registry
from urbanos_edge.ingest.registry import Latitude, Longitude, Wanted
from urbanos_edge.ingest.reports import Asked, Verdict
from urbanos_edge.logbook import last_lines
from urbanos_edge.node import Node
from urbanos_edge.progress import Tell
from urbanos_edge.query.flagged import flagged
from urbanos_edge.secrecy import shown
from urbanos_edge.tls.tls import Request as TlsRequest
from urbanos_edge.tokens import Scope
from urbanos_edge.upkeep.amends import Calibrate, Span, calibrate, regrade
from urbanos_edge.upkeep.past import Archived, Past
from urbanos_edge.upkeep.upkeep import back_up, check, copy_aside, until_stopped
from urbanos_edge.upkeep.vigil import add_rule, list_rules, remove_rule, try_receivers

READS: Final = frozenset(
    (
        *("tokens", "status", "dead_letters", "flush", "flags", "sensors", "sensor", "inbox"),
        *("nearby", "ignored", "refused", "alert_rules", "alerts", "reports", "pulls", "audit"),
        *("copy", "recent_gets", "support", "tls_status", "sync_now", "sync_verify"),
    )
)
"""Commands that only look, or bring about at once what comes by itself. All others leave a line in
the audit log."""
ONLY_LOOKS: Final[Mapping[str, Callable[[dict[str, Any]], bool]]] = {
    "check": lambda given: not (given.get("repair") or given.get("forget_lost")),
    "expire": lambda given: bool(given.get("dry_run")),
    "regrade": lambda given: bool(given.get("is_dry_run")),
    "sensor_calibrate": lambda given: (
        not any(given.get(name) for name in ("line", "is_applied", "is_ended"))
    ),
    "import": lambda given: not given.get("begins"),
}
"""Whether one that does not always change something, or changes it piece by piece, is no act."""
READINGS: Final = "readings"
"""An argument that the log of acts does not have: which they are, the names of their files say."""

BEGINS: Final = frozenset(
    ("token", "sensor_add", "import", "basemap_import", "alert_add", "inbox_ignore", "tls_init")
)
"""Commands that a node may begin with: what they make needs nothing to be there before."""

_COPY: Final = "copy-"


class TokenWanted(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `token`."""

    scope: Scope
    sensor: str | None = None
    name: str = ""


class NewSensor(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `sensor_add`."""

    id: Name
    lat: Latitude
    lng: Longitude
    name: Name | None = None


class SensorChange(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `sensor_change`."""

    id: str
    name: Name | None = None
    place: Location | None = None


def commands(node: Node, url: str | None = None) -> dict[str, Command | LongCommand]:
    """The commands by name; `url` is where the node serves, if it does."""
    known = {
        **_token_commands(node, url),
        **_letter_commands(node),
        **_reading_commands(node),
        **_care_commands(node),
        **_rehearsal_commands(node),
        **_sensor_commands(node),
        **_inbox_commands(node),
        **_amending_commands(node),
        **_alert_commands(node),
        **_report_commands(node),
        **_pull_commands(node),
        **_sync_commands(node),
        **_tls_commands(node),
        **_audit_commands(node),
        **_support_commands(node),
    }
    return {name: _noted(node.access.audit, name, command) for name, command in known.items()}


def is_act(name: str, given: dict[str, Any]) -> bool:
    """Whether a command with these arguments changes anything."""
    only_looks = ONLY_LOOKS.get(name)
    return name not in READS if only_looks is None else not only_looks(given)


def _noted(audit: Audit, name: str, command: Command | LongCommand) -> Command | LongCommand:
    """The command, with a line in the log before it where it is an act."""

    def line(given: dict[str, Any]) -> AbstractAsyncContextManager[None]:
        details = {name: value for name, value in given.items() if name != READINGS}
        return audit.act(LOCAL, name, details) if is_act(name, given) else nullcontext()

    async def run(given: dict[str, Any]) -> Any:
        async with line(given):
            return await cast("Command", command)(given)

    async def run_long(given: dict[str, Any], tell: Tell) -> Any:
        async with line(given):
            return await cast("LongCommand", command).run(given, tell)

    return LongCommand(run_long) if isinstance(command, LongCommand) else run


def _token_commands(node: Node, url: str | None) -> dict[str, Command | LongCommand]:
    async def token(arguments: dict[str, Any]) -> Any:
        wanted = msgspec.convert(arguments, TokenWanted)
        secret = await node.tokens.create(wanted.scope, sensor_id=wanted.sensor, name=wanted.name)
        return {"token": secret, "id": node.tokens.authenticate(secret).id, "url": url}

    async def tokens(_: dict[str, Any]) -> Any:
        return msgspec.to_builtins(node.tokens.list())

    async def revoke_token(arguments: dict[str, Any]) -> Any:
        await node.tokens.revoke(_number(arguments, "id"))

    async def status(_: dict[str, Any]) -> Any:
        reached = {"url": url, "public_read": node.settings.public_read}
        return reached | await anyio.to_thread.run_sync(health.status, node)

    return {
        "token": token,
        "tokens": tokens,
        "revoke_token": revoke_token,
        "status": status,
    }


def _letter_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def dead_letters(arguments: dict[str, Any]) -> Any:
        limit = _number(arguments, "limit")
        return msgspec.to_builtins(await anyio.to_thread.run_sync(node.dead_letters.list, limit))

    async def requeue(arguments: dict[str, Any]) -> Any:
        return await node.requeue(arguments.get("ids"))

    async def purge(arguments: dict[str, Any]) -> Any:
        return await node.dead_letters.purge(arguments.get("ids"))

    return {"dead_letters": dead_letters, "requeue": requeue, "purge": purge}


def _reading_commands(node: Node) -> dict[str, Command | LongCommand]:
    past = Past(node)

    async def take_past(arguments: dict[str, Any]) -> Any:
        return msgspec.to_builtins(await past.take(msgspec.convert(arguments, Archived)))

    async def flush(_: dict[str, Any]) -> Any:
        await node.flush()

    async def compact(_: dict[str, Any], tell: Tell) -> Any:
        return msgspec.to_builtins(
            await anyio.to_thread.run_sync(node.compactor.finish_all, until_stopped(tell))
        )

    async def expire(arguments: dict[str, Any]) -> Any:
        work = node.expiry.due if arguments.get("dry_run") else node.expiry.drop
        return msgspec.to_builtins(await anyio.to_thread.run_sync(work))

    async def flags(arguments: dict[str, Any]) -> Any:
        span = _number(arguments, "since_us"), _number(arguments, "until_us")
        found = await anyio.to_thread.run_sync(flagged, node.store, node.engine, *span)
        return msgspec.to_builtins(found)

    return {
        "import": take_past,
        "flush": flush,
        "compact": LongCommand(compact),
        "expire": expire,
        "flags": flags,
    }


def _care_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def basemap_import(arguments: dict[str, Any], tell: Tell) -> Any:
        source = Path(_text(arguments, "file"))
        path = await anyio.to_thread.run_sync(
            import_basemap, source, node.data_dir, until_stopped(tell)
        )
        await anyio.to_thread.run_sync(node.open_basemap)
        basemap = Basemap(path)
        basemap.close()
        return {"schema": basemap.schema, "shortcoming": basemap.shortcoming()}

    async def check_all(arguments: dict[str, Any], tell: Tell) -> Any:
        report = await check(node, repair=bool(arguments.get("repair")), tell=tell)
        if arguments.get("forget_lost"):
            now_us = node.clock.now_us()
            await anyio.to_thread.run_sync(forget_lost, node.store, node.database, now_us)
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
        "basemap_import": LongCommand(basemap_import),
        "check": LongCommand(check_all),
        "backup": LongCommand(backup),
    }


def _rehearsal_commands(node: Node) -> dict[str, Command | LongCommand]:
    """What another version is tried with before it takes over."""

    async def copy(_: dict[str, Any], tell: Tell) -> Any:
        await anyio.to_thread.run_sync(_remove_copies, node)
        folder = node.data_dir / ".tmp" / f"{_COPY}{secrets.token_hex(4)}"
        await copy_aside(node, folder, tell)
        return {"folder": str(folder)}

    async def recent_gets(_: dict[str, Any]) -> Any:
        return [target.decode("latin-1") for target in list(node.traffic.targets)]

    return {
        "copy": LongCommand(copy),
        "recent_gets": recent_gets,
    }


def _remove_copies(node: Node) -> None:
    """A check that was broken off leaves what it was to remove; only one goes on at a time."""
    for folder in (node.data_dir / ".tmp").glob(f"{_COPY}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _sensor_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def sensors(_: dict[str, Any]) -> Any:
        return node.registry.list()

    async def sensor(arguments: dict[str, Any]) -> Any:
        shown = node.registry.show(_text(arguments, "id"))
        own = node.corrections.of_sensor(shown["id"])
        return shown | {"corrections": msgspec.to_builtins(own)}

    async def sensor_add(arguments: dict[str, Any]) -> Any:
        new = msgspec.convert(arguments, NewSensor)
        await node.registry.add(new.id, new.name or new.id, new.lat, new.lng)
        waiting = await anyio.to_thread.run_sync(node.inbox.find, new.id)
        return {"waiting": waiting.kept if waiting else 0}

    async def sensor_change(arguments: dict[str, Any]) -> Any:
        change = msgspec.convert(arguments, SensorChange)
        place = None if change.place is None else (change.place.lat, change.place.lng)
        await node.registry.change(change.id, name=change.name, place=place)

    async def sensor_remove(arguments: dict[str, Any]) -> Any:
        await node.registry.remove(_text(arguments, "id"))

    async def sensor_token(arguments: dict[str, Any]) -> Any:
        sensor_id = node.sensors.get(_text(arguments, "id")).id
        older = [token.id for token in node.tokens.of_sensor(sensor_id)]
        name = str(arguments.get("name", ""))
        return {
            "token": await node.tokens.create("sensor", sensor_id=sensor_id, name=name),
            "older": older,
        }

    return {
        "sensors": sensors,
        "sensor": sensor,
        "sensor_add": sensor_add,
        "sensor_change": sensor_change,
        "sensor_remove": sensor_remove,
        "sensor_token": sensor_token,
    }


def _inbox_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def inbox(_: dict[str, Any]) -> Any:
        return msgspec.to_builtins(await anyio.to_thread.run_sync(node.inbox.list))

    async def nearby(_: dict[str, Any]) -> Any:
        return msgspec.to_builtins(node.nearby.list())

    async def ignored(_: dict[str, Any]) -> Any:
        found = node.inbox.ignored.items()
        return [{"sender": sender, "ignored_at_us": at_us} for sender, at_us in found]

    async def refused(_: dict[str, Any]) -> Any:
        return msgspec.to_builtins(node.access.door.refusals.list())

    async def inbox_claim(arguments: dict[str, Any]) -> Any:
        wanted = msgspec.convert(arguments, Wanted)
        return node.registry.tell(await node.registry.claim(wanted))

    async def inbox_ignore(arguments: dict[str, Any]) -> Any:
        sender = _text(arguments, "sender")
        await (node.registry.heed if arguments.get("undo") else node.registry.ignore)(sender)

    return {
        "inbox": inbox,
        "nearby": nearby,
        "ignored": ignored,
        "refused": refused,
        "inbox_claim": inbox_claim,
        "inbox_ignore": inbox_ignore,
    }


def _amending_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def sensor_calibrate(arguments: dict[str, Any]) -> Any:
        return await calibrate(node, msgspec.convert(arguments, Calibrate))

    async def regrade_stored(arguments: dict[str, Any], tell: Tell) -> Any:
        return msgspec.to_builtins(await regrade(node, msgspec.convert(arguments, Span), tell))

    return {"sensor_calibrate": sensor_calibrate, "regrade": LongCommand(regrade_stored)}


def _alert_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def alert_add(arguments: dict[str, Any]) -> Any:
        return await add_rule(node, read_rule(arguments))

    async def alert_rules(_: dict[str, Any]) -> Any:
        return await anyio.to_thread.run_sync(list_rules, node)

    async def alerts(arguments: dict[str, Any]) -> Any:
        limit, now_us = _number(arguments, "limit"), node.clock.now_us()
        shown = await anyio.to_thread.run_sync(node.alerts.shown, limit, now_us)
        return msgspec.to_builtins(shown)

    async def alert_remove(arguments: dict[str, Any]) -> Any:
        await remove_rule(node, _number(arguments, "id"))

    async def alert_test(arguments: dict[str, Any]) -> Any:
        number = None if arguments.get("id") is None else _number(arguments, "id")
        return await try_receivers(node, number)

    return {
        "alert_add": alert_add,
        "alert_rules": alert_rules,
        "alerts": alerts,
        "alert_remove": alert_remove,
        "alert_test": alert_test,
    }


def _report_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def reports(arguments: dict[str, Any]) -> Any:
        asked = msgspec.convert(arguments, Asked)
        return msgspec.to_builtins(await anyio.to_thread.run_sync(node.reports.find, asked))

    async def report_decide(arguments: dict[str, Any]) -> Any:
        verdict = msgspec.convert(arguments.get("verdict"), Verdict)
        decided = await node.reports.decide(_number(arguments, "id"), verdict)
        return msgspec.to_builtins(decided)

    return {"reports": reports, "report_decide": report_decide}


def _pull_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def pulls(_: dict[str, Any]) -> Any:
        return msgspec.to_builtins(node.pulls.list())

    async def pull_now(arguments: dict[str, Any]) -> Any:
        name = None if arguments.get("name") is None else _text(arguments, "name")
        return msgspec.to_builtins(await node.pulls.now(name))

    return {"pulls": pulls, "pull_now": pull_now}


def _tls_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def tls_init(arguments: dict[str, Any]) -> Any:
        request = msgspec.convert(arguments, TlsRequest)
        standing = await anyio.to_thread.run_sync(node.tls.init, request)
        node.tls.load()
        return msgspec.to_builtins(standing)

    async def tls_status(_: dict[str, Any]) -> Any:
        return msgspec.to_builtins(await anyio.to_thread.run_sync(node.tls.standing))

    return {"tls_init": tls_init, "tls_status": tls_status}


def _audit_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def audit(arguments: dict[str, Any]) -> Any:
        limit, before = _number(arguments, "limit"), arguments.get("before")
        return msgspec.to_builtins(
            await anyio.to_thread.run_sync(node.access.audit.list, limit, before)
        )

    return {"audit": audit}


def _support_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def support(_: dict[str, Any]) -> Any:
        numbers = await anyio.to_thread.run_sync(generate_latest, registry(node))
        return {
            "settings": shown(node.settings),
            "log": last_lines(),
            "metrics": numbers.decode(),
            "status": await anyio.to_thread.run_sync(health.status, node),
        }

    return {"support": support}


def _sync_commands(node: Node) -> dict[str, Command | LongCommand]:
    async def sync_now(_: dict[str, Any], tell: Tell) -> Any:
        return msgspec.to_builtins(await node.sync.bring_everything(tell))

    async def sync_backfill(arguments: dict[str, Any], tell: Tell) -> Any:
        span = _number(arguments, "since_us"), _number(arguments, "until_us")
        return msgspec.to_builtins(await node.sync.backfill(*span, tell))

    async def sync_verify(_: dict[str, Any], tell: Tell) -> Any:
        found = await node.sync.verify(tell)
        hours = [to_rfc3339(one.hour * HOUR_US) for one in found]
        return [
            msgspec.to_builtins(one) | {"hour": hour}
            for one, hour in zip(found, hours, strict=True)
        ]

    return {
        "sync_now": LongCommand(sync_now),
        "sync_backfill": LongCommand(sync_backfill),
        "sync_verify": LongCommand(sync_verify),
    }


def _text(arguments: dict[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"'{name}' must be a text")
    return value


def _number(arguments: dict[str, Any], name: str) -> int:
    value = arguments.get(name)
    if not isinstance(value, int):
        raise BadRequest(f"'{name}' must be a number")
    return value
