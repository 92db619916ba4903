"""Who is believed without a token, and by what: the rules that an operator claimed a sender under.

A sender is what a device calls itself on the wire. It may be claimed for a sensor of another name;
its readings are then that sensor's, whichever way they come. A sender with another name than its
sensor's is never the id of a sensor itself.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal, get_args

import apsw
import msgspec

from urbanos_edge.clock import Clock, Stamp
from urbanos_edge.database import Database
from urbanos_edge.errors import Forbidden, Unprocessable
from urbanos_edge.ingest.sensors import Sensors
from urbanos_edge.tokens import Token

Rule = Literal["token", "basic", "address", "open"]
RULES: Final[tuple[Rule, ...]] = get_args(Rule)
"""The strongest first. `open` believes whoever knows the sender's name."""
_COLUMNS: Final = "sender, sensor_id, protocol, rule, claimed_at_us, network, user, proof"
_SAVE: Final = f"INSERT OR REPLACE INTO sources ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Arrival(msgspec.Struct, frozen=True):
    """How a message came, as far as it says who sent it.

    `authorization` is the header as it was sent. `user` and `secret` are a pair that came another
    way, such as InfluxDB's `u` and `p`; those of a Basic header are read from it. `proof` is what
    `passwords` made of them. `may_have_waited` is for what others kept for the node: when it was
    measured nobody knows, unless it says so itself. `stamp` is for what the node itself has kept.
    """

    protocol: str
    address: str = ""
    authorization: str = ""
    user: str = ""
    secret: str = ""
    proof: bytes = b""
    may_have_waited: bool = False
    stamp: Stamp | None = None


class Source(msgspec.Struct, frozen=True):
    """One claimed sender; `network` is the rule `address`'s, `user` and `proof` are `basic`'s."""

    sender: str
    sensor_id: str
    protocol: str
    rule: Rule
    claimed_at_us: int
    network: str | None = None
    user: str | None = None
    proof: bytes | None = None

    def believes(self, came: Arrival) -> bool:
        """Whether a message that came so, without a token, may be this sender's."""
        match self.rule:
            case "token":
                return False
            case "basic":
                assert self.proof is not None
                return came.user == self.user and hmac.compare_digest(came.proof, self.proof)
            case "address":
                assert self.network is not None
                address = _address(came.address)
                return address is not None and address in _network(self.network)
            case "open":
                return True


_REFUSALS: Final[dict[Rule, str]] = {
    "token": "needs its token",
    "basic": "needs its user and password",
    "address": "is known at another address",
}


class Refused(msgspec.Struct, frozen=True):
    """Messages in a known sender's name refused since the start, and where the last came from."""

    messages: int
    address: str
    at_us: int


class Sources:
    """All claimed senders, held in memory."""

    def __init__(self, database: Database, sensors: Sensors, clock: Clock) -> None:
        self._sensors = sensors
        self._clock = clock
        rows = database.read().execute(f"SELECT {_COLUMNS} FROM sources")
        self._by_sender = {row[0]: Source(*row) for row in rows}
        self.refused: dict[str, Refused] = {}
        """By sender."""
        self.revision = 0
        """Grows with every change since the start."""

    def find(self, sender: str) -> Source | None:
        return self._by_sender.get(sender)

    def knows(self, sender: str) -> bool:
        """Whether somebody has claimed a sender, or it is a sensor itself."""
        return sender in self._by_sender or sender in self._sensors

    def sensor_of(self, sender: str) -> str | None:
        """The sensor that a sender is, or was claimed for; None where nobody has said it."""
        source = self._by_sender.get(sender)
        known = sender if sender in self._sensors else None
        return source.sensor_id if source else known

    def of_sensor(self, sensor_id: str) -> Sequence[Source]:
        """The senders that are claimed for a sensor."""
        found = (one for one in self._by_sender.values() if one.sensor_id == sensor_id)
        return sorted(found, key=lambda source: source.sender)

    def rules(self) -> dict[str, Rule]:
        """By sensor, the weakest rule its readings may come in by, where that is not `token`."""
        weakest: dict[str, Rule] = {}
        for source in self._by_sender.values():
            known = weakest.get(source.sensor_id, RULES[0])
            weakest[source.sensor_id] = max(known, source.rule, key=RULES.index)
        return weakest

    def admit(self, sender: str, token: Token | None, came: Arrival) -> str | None:
        """The sensor that a sender speaks for in a message; None when nobody has claimed it.

        Raises:
            Forbidden: the token is another's, or the message does not satisfy the sender's rule.
        """
        source = self._by_sender.get(sender)
        sensor_id = source.sensor_id if source else sender
        if token is not None:
            if not token.may_write(sensor_id):
                raise Forbidden("this token may not write for that sensor", code="not_your_sensor")
            return sensor_id
        if source is None and sender not in self._sensors:
            return None
        if source is None or not source.believes(came):
            self._note_refused(sender, came)
            why = _REFUSALS[source.rule if source else "token"]
            raise Forbidden(f"'{sender}' {why}", code="source_refused")
        return sensor_id

    def save(self, connection: apsw.Connection, source: Source) -> None:
        """Write a source as part of a larger work; call `remember` once it is committed."""
        connection.execute(_SAVE, msgspec.structs.astuple(source))

    def remember(self, source: Source) -> None:
        self._by_sender[source.sender] = source
        self.refused.pop(source.sender, None)
        self.revision += 1

    def forget(self, sensor_id: str) -> None:
        """Drop the sources of a sensor; the database does so with the sensor's row."""
        for source in self.of_sensor(sensor_id):
            del self._by_sender[source.sender]
            self.refused.pop(source.sender, None)
        self.revision += 1

    def _note_refused(self, sender: str, came: Arrival) -> None:
        before = self.refused.get(sender)
        messages = before.messages if before else 0
        self.refused[sender] = Refused(messages + 1, came.address, self._clock.now_us())


def checked_network(text: str) -> str:
    """An address or a network (`192.168.1.0/24`) as it is stored.

    Raises:
        Unprocessable: it is neither.
    """
    try:
        return str(_network(text))
    except ValueError as error:
        raise Unprocessable(
            f"'{text[:60]}' is no address and no network such as 192.168.1.0/24",
            code="invalid_network",
        ) from error


@lru_cache(maxsize=4096)
def _network(text: str) -> _Network:
    return ipaddress.ip_network(text.strip(), strict=False)


@lru_cache(maxsize=4096)
def _address(text: str) -> _Address | None:
    """An address without its zone; one of IPv4 that came over an IPv6 socket as such."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
