"""What an operator does with sensors: add, name and move them, claim senders, take them out."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import anyio.to_thread
import apsw
import msgspec
from msgspec import Meta

from urbanos_edge.adapters import Name
from urbanos_edge.clock import Clock
from urbanos_edge.database import Database
from urbanos_edge.errors import NotFound, Unprocessable
from urbanos_edge.ingest.inbox import Inbox, Unknown
from urbanos_edge.ingest.ingest import Ingest
from urbanos_edge.ingest.passwords import Passwords
from urbanos_edge.ingest.sensors import Sensor, Sensors
from urbanos_edge.ingest.sources import RULES, Rule, Source, Sources, checked_network
from urbanos_edge.tokens import Tokens

Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
_log = logging.getLogger(__name__)


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A claim: who, for which sensor (itself if none), where that stands, and what it must show.

    What is not said of a sensor that exists stays as it is. `address` is that from which the
    sender was last heard unless said; `password` is made unless given.
    """

    sender: str
    sensor: Name | None = None
    name: Name | None = None
    lat: Latitude | None = None
    lng: Longitude | None = None
    rule: Rule = "token"
    address: str | None = None
    user: Name | None = None
    password: Annotated[str, Meta(min_length=8, max_length=120)] | None = None


class Claimed(msgspec.Struct, frozen=True):
    """What came of a claim; `secret` is the new token or the password, shown this once."""

    sensor: Sensor
    source: Source
    imported: int
    refused: int
    secret: str | None


class Registry:
    """The operator's side of sensors, sources, tokens and the inbox."""

    def __init__(
        self,
        database: Database,
        sensors: Sensors,
        sources: Sources,
        tokens: Tokens,
        inbox: Inbox,
        passwords: Passwords,
        ingest: Ingest,
        clock: Clock,
    ) -> None:
        self._database = database
        self._sensors = sensors
        self._sources = sources
        self._tokens = tokens
        self._inbox = inbox
        self._passwords = passwords
        self._ingest = ingest
        self._clock = clock

    async def add(self, sensor_id: Name, name: str, lat: float, lng: float) -> Sensor:
        """Register a sensor before it has sent anything.

        Raises:
            Unprocessable: there is one of that name, or a sender is claimed under it.
        """
        if sensor_id in self._sensors:
            raise Unprocessable(f"there is a sensor '{sensor_id}' already", code="sensor_exists")
        self._check_is_no_alias(sensor_id)
        sensor = Sensor(sensor_id, name, lat, lng, "registered", self._clock.now_us())
        await self._sensors.register([sensor])
        return sensor

    async def change(
        self,
        sensor_id: str,
        *,
        name: str | None = None,
        place: tuple[float, float] | None = None,
    ) -> Sensor:
        """Give a sensor another name, or another place from now on.

        Raises:
            NotFound: there is no such sensor.
        """
        sensor = self._sensors.get(sensor_id)
        lat, lng = place or (sensor.lat, sensor.lng)
        sensor = msgspec.structs.replace(sensor, name=name or sensor.name, lat=lat, lng=lng)
        await self._sensors.register([sensor])
        return sensor

    async def remove(self, sensor_id: str) -> None:
        """Take a sensor out, with its sources and tokens; what it measured stays.

        Raises:
            NotFound: there is no such sensor.
        """
        self._sensors.get(sensor_id)
        for token in self._tokens.of_sensor(sensor_id):
            await self._tokens.revoke(token.id)
        await self._sensors.remove(sensor_id)
        self._sources.forget(sensor_id)

    async def claim(self, wanted: Wanted) -> Claimed:
        """Make a sender speak for a sensor from now on, and import what waits of it.

        Claiming again changes what the sender must show.

        Raises:
            NotFound: the node has never heard of the sender.
            Unprocessable: place or address are missing, or the names contradict each other.
        """
        unknown = await anyio.to_thread.run_sync(self._inbox.find, wanted.sender)
        sensor = self._claimed_sensor(wanted, unknown)
        source, secret = await self._claimed_source(wanted, unknown, sensor.id)

        def work(connection: apsw.Connection) -> None:
            self._sensors.save(connection, [sensor])
            self._sources.save(connection, source)

        await self._database.write(work)
        self._sensors.remember([sensor])
        self._sources.remember(source)
        await self._inbox.heed(wanted.sender)
        imported, refused = await self._import(source)
        if source.rule == "token":
            secret = await self._tokens.create("sensor", sensor_id=sensor.id, name=source.sender)
        return Claimed(sensor, source, imported, refused, secret)

    async def ignore(self, sender: str) -> None:
        """Hear a sender no more and throw away what is kept of it.

        Raises:
            Unprocessable: it is claimed.
        """
        if self._sources.find(sender) is not None or sender in self._sensors:
            raise Unprocessable(
                f"'{sender[:120]}' is a sensor's: claim it to take what waits of it, or remove the"
                " sensor first",
                code="sender_claimed",
            )
        await self._inbox.ignore(sender, self._clock.now_us())
        await self._ingest.settle()  # what was judged before is in the inbox now
        await self._inbox.clear(sender)

    async def heed(self, sender: str) -> None:
        """Hear an ignored sender again.

        Raises:
            NotFound: it is not ignored.
        """
        if not self._inbox.is_ignored(sender):
            raise NotFound(f"'{sender[:120]}' is not ignored; see 'inbox list --ignored'")
        await self._inbox.heed(sender)

    async def finish_claims(self) -> None:
        """Import what a claim that was cut short has left in the inbox."""
        for unknown in await anyio.to_thread.run_sync(self._inbox.list):
            source = self._sources.find(unknown.sender)
            if source is not None:
                try:
                    await self._import(source)
                except Exception:  # whatever a stranger has sent: the node starts all the same
                    _log.exception("'%s' could not be imported", source.sender)

    def list(self) -> Sequence[dict[str, Any]]:
        """All sensors with the weakest rule that their readings may come in by."""
        rules = self._sources.rules()
        return [
            msgspec.structs.asdict(sensor) | {"rule": rules.get(sensor.id, RULES[0])}
            for sensor in self._sensors.list()
        ]

    def show(self, sensor_id: str) -> dict[str, Any]:
        """All that an operator may know of a sensor, without secrets.

        Raises:
            NotFound: there is no such sensor.
        """
        sensor = self._sensors.get(sensor_id)
        sources = self._sources.of_sensor(sensor_id)
        refused = self._sources.refused.get(sensor_id)
        return {
            **msgspec.structs.asdict(sensor),
            "rule": self._sources.rules().get(sensor_id, RULES[0]),
            "sources": [self._told(source) for source in sources],
            "refused": msgspec.to_builtins(refused),
            "tokens": msgspec.to_builtins(self._tokens.of_sensor(sensor_id)),
        }

    def tell(self, claimed: Claimed) -> dict[str, Any]:
        """What came of a claim, for the one who made it."""
        told = msgspec.structs.asdict(claimed) | {"source": self._told(claimed.source)}
        return told | {"sensor": msgspec.structs.asdict(claimed.sensor)}

    def _told(self, source: Source) -> dict[str, Any]:
        told = {k: v for k, v in msgspec.structs.asdict(source).items() if k != "proof"}
        refused = self._sources.refused.get(source.sender)
        return told | {"refused": msgspec.to_builtins(refused)}

    def _claimed_sensor(self, wanted: Wanted, unknown: Unknown | None) -> Sensor:
        """The sensor as the claim makes it."""
        former = self._sources.find(wanted.sender)
        if unknown is None and former is None and wanted.sender not in self._sensors:
            raise NotFound(f"nothing was heard of '{wanted.sender[:120]}'; see 'inbox list'")
        sensor_id = wanted.sensor or (former.sensor_id if former else wanted.sender)
        if sensor_id != wanted.sender:
            self._check_is_no_alias(sensor_id)
            if wanted.sender in self._sensors:
                raise Unprocessable(
                    f"'{wanted.sender}' is a sensor itself; claim it without another name",
                    code="sender_is_sensor",
                )
        known = self._sensors.find(sensor_id)
        place = self._place(wanted, unknown, known)
        if known is not None:
            lat, lng = place
            name = wanted.name or known.name
            return msgspec.structs.replace(known, name=name, lat=lat, lng=lng)
        protocol = unknown.protocol if unknown else "registered"
        name = wanted.name or sensor_id
        return Sensor(sensor_id, name, *place, protocol, self._clock.now_us())

    def _place(
        self, wanted: Wanted, unknown: Unknown | None, known: Sensor | None
    ) -> tuple[float, float]:
        """Where the claim says, where the sensor stands already, or where the sender said it is."""
        if wanted.lat is not None and wanted.lng is not None:
            return wanted.lat, wanted.lng
        if wanted.lat is None and wanted.lng is None:
            if known is not None and known.lat is not None and known.lng is not None:
                return known.lat, known.lng
            if unknown and unknown.last and unknown.last.location:
                return unknown.last.location.lat, unknown.last.location.lng
        raise Unprocessable(
            "say where it stands: latitude and longitude (--lat and --lng)", code="place_missing"
        )

    async def _claimed_source(
        self, wanted: Wanted, unknown: Unknown | None, sensor_id: str
    ) -> tuple[Source, str | None]:
        """What the sender must show from now on, and the password if one was made for it."""
        former = self._sources.find(wanted.sender)
        protocol = unknown.protocol if unknown else former.protocol if former else "registered"
        now_us = self._clock.now_us()
        source = Source(wanted.sender, sensor_id, protocol, wanted.rule, now_us)
        self._check_fits(wanted)
        if wanted.rule == "address":
            address = wanted.address or self._last_address(wanted.sender, unknown)
            if not address:
                raise Unprocessable(
                    "say from which address it will come (--address)", code="address_missing"
                )
            return msgspec.structs.replace(source, network=checked_network(address)), None
        if wanted.rule == "basic":
            user = wanted.user or wanted.sender
            password = wanted.password or secrets.token_urlsafe(12)
            proof = await self._passwords.proof(user, password)
            made = None if wanted.password else password
            return msgspec.structs.replace(source, user=user, proof=proof), made
        return source, None

    def _last_address(self, sender: str, unknown: Unknown | None) -> str:
        """Where a sender was last heard from, also where it was not believed there."""
        refused = self._sources.refused.get(sender)
        return unknown.address if unknown else refused.address if refused else ""

    def _check_fits(self, wanted: Wanted) -> None:
        """Refuse what the rule would leave out without a word."""
        if wanted.address is not None and wanted.rule != "address":
            raise Unprocessable("an address goes with the rule 'address'", code="rule_mismatch")
        if (wanted.user or wanted.password) and wanted.rule != "basic":
            raise Unprocessable("user and password go with the rule 'basic'", code="rule_mismatch")

    def _check_is_no_alias(self, sensor_id: str) -> None:
        source = self._sources.find(sensor_id)
        if source is not None and source.sensor_id != sensor_id:
            raise Unprocessable(
                f"'{sensor_id}' is what a device of sensor '{source.sensor_id}' calls itself",
                code="sender_claimed",
            )

    async def _import(self, source: Source) -> tuple[int, int]:
        """Make readings of what waits of a claimed sender; return how many, and what was refused.

        What was judged while it was unknown is in the inbox once that is settled, and nothing
        follows.
        """
        await self._ingest.settle()
        kept = await anyio.to_thread.run_sync(partial(self._inbox.kept_of, source.sender))
        receipt = await self._ingest.take_from_inbox(source.sender, source.sensor_id, kept)
        return receipt.accepted, len(receipt.refused)
