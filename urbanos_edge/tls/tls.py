"""What the node serves HTTPS with: the box's authority and its certificate, kept in `tls/`.

The certificate is for the names and addresses that the box has, and for those it was given. It is
renewed when a third of its time is left, or when the box has a new name or address; who connects
from then on gets the new one.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import msgspec

from urbanos_edge.clock import RELEASED_US, Clock, to_rfc3339, to_us
from urbanos_edge.discovery.announcement import host_label
from urbanos_edge.discovery.networks import networks
from urbanos_edge.errors import BadRequest, EdgeError, NotFound, translated_os_errors
from urbanos_edge.settings import Settings
from urbanos_edge.store.integrity import sync_path
from urbanos_edge.tls.authority import (
    AuthorityDamaged,
    AuthorityEnded,
    Name,
    Pair,
    certified_names,
    checked_name,
    in_words,
    new_authority,
)

FOLDER: Final = "tls"
"""In the data directory."""
LOOK_S: Final = 10
DEFAULT_DAYS: Final = 90
MAX_DAYS: Final = 398
"""Longer ones browsers refuse."""
RENEWED_AT: Final = 2 / 3
"""Of a certificate's time."""
SHOWN_WORDS: Final = 8
"""Of a fingerprint: 128 bits."""
_AUTHORITY: Final = "authority.pem"
_CERTIFICATE: Final = "server.pem"
_PUBLIC: Final = "ca.crt"
_WANTED: Final = "names.json"
_log = logging.getLogger(__name__)


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a certificate is to be for beside the box's own names, and for how many days."""

    names: tuple[Name, ...] = ()
    days: int = DEFAULT_DAYS


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `tls init` is told: None keeps what was told before."""

    names: tuple[str, ...] | None = None
    days: int | None = None
    anew: bool = False
    """Make another authority, which everybody has to trust anew; nothing is kept."""


class Standing(msgspec.Struct, frozen=True):
    """The authority and the certificate as people see them."""

    authority: str
    sha256: str
    words: str
    """The first half of the fingerprint, to be read out."""
    authority_expires_at: str
    names: list[Name]
    expires_at: str
    renewed_at: str
    port: int | None
    """Where it is served now."""
    failure: str | None


class Tls:
    """The folder with both, and what is served from it.

    Any thread may make and renew; the event loop's calls `load` afterwards, because a connection
    must not begin while the certificate changes.
    """

    def __init__(self, folder: Path, settings: Settings, clock: Clock) -> None:
        self._folder = folder
        self._first_name = f"{host_label(settings.node_name)}.local"
        self._called = [name for name in settings.allowed_hosts if "*" not in name]
        self._clock = clock
        self._redirects = settings.tls_redirect
        self.context: ssl.SSLContext | None = None
        """What the node serves with; None: there is no TLS."""
        self._lock = threading.Lock()
        self.port: int | None = None
        """Where the node listens for TLS; None: nowhere."""
        self.failure: str | None = None
        """Why there is no TLS, or why the certificate could not be renewed."""

    @property
    def page_port(self) -> int | None:
        """Where pages that were asked for in the clear are to be asked for instead."""
        return self.port if self._redirects else None

    def init(self, request: Request) -> Standing:
        """Make the authority, unless it is there, and a new certificate.

        Raises:
            BadRequest: a name is none, or one that the authority may not vouch for.
            AuthorityDamaged, AuthorityEnded: the one that is there is of no use any more.
            DiskFull, StorageUnavailable: they cannot be written.
        """
        with self._lock:
            wanted = self._merged(request)
            authority = self._usable_authority(wanted, anew=request.anew)
            _check(authority, wanted)
            self._write(_WANTED, msgspec.json.encode(wanted))
            self._renew(authority, wanted)
        return self.standing()

    def standing(self) -> Standing:
        """How it is.

        Raises:
            NotFound: `init` was never called.
            AuthorityDamaged: the files cannot be read.
        """
        authority, server = self.authority(), self._pair(_CERTIFICATE)
        if server is None:
            raise NotFound("there is no certificate yet; 'urbanos-edge tls init' makes one")
        ends_at = server.certificate.not_valid_after_utc
        return Standing(
            authority=authority.certificate.subject.rfc4514_string().removeprefix("CN="),
            sha256=authority.fingerprint.hex(":").upper(),
            words=" ".join(in_words(authority.fingerprint)[:SHOWN_WORDS]),
            authority_expires_at=_told(authority.certificate.not_valid_after_utc),
            names=certified_names(server.certificate),
            expires_at=_told(ends_at),
            renewed_at=_told(_renewal(server)),
            port=self.port,
            failure=self.failure,
        )

    def authority(self) -> Pair:
        """The authority.

        Raises:
            NotFound: there is none.
        """
        authority = self._pair(_AUTHORITY)
        if authority is None:
            raise NotFound("the node has no certificate; 'urbanos-edge tls init' makes one")
        return authority

    def open(self, port: int) -> None:
        """Make `context`, to be served with at this port, and a certificate if there is none.

        Raises:
            AuthorityDamaged, AuthorityEnded, DiskFull, StorageUnavailable: there is no
                certificate to be had.
        """
        try:
            self.renew_if_due()
            self.context = _server_context()
            self.load()
            self.port = port
        except EdgeError as error:
            self.context, self.failure = None, error.message
            raise

    def load(self) -> None:
        """Who connects from now on gets the certificate that is in the file.

        Raises:
            AuthorityDamaged: it cannot be used.
        """
        if self.context is None:
            return
        try:
            self.context.load_cert_chain(self._folder / _CERTIFICATE)
        except (OSError, ssl.SSLError) as error:
            raise AuthorityDamaged(f"{FOLDER}/{_CERTIFICATE} cannot be used") from error

    async def renew_forever(self) -> None:
        """Look every few seconds whether the certificate still fits; a failure is tried again."""
        while True:
            await anyio.sleep(LOOK_S)
            try:
                # A certificate by a clock that is wrong would be good at the wrong time.
                if self._clock.doubt is None:
                    if await anyio.to_thread.run_sync(self.renew_if_due):
                        self.load()
                self.failure = None
            except EdgeError as error:
                if self.failure != error.message:
                    _log.error("the certificate could not be renewed: %s", error.message)
                self.failure = error.message

    def renew_if_due(self) -> bool:
        """Renew the certificate when it is time to, and make one when there is none; tell which.

        Raises:
            AuthorityDamaged, AuthorityEnded, DiskFull, StorageUnavailable: the former one stays.
        """
        with self._lock:
            wanted = self._wanted()
            authority = self._usable_authority(wanted)
            is_due = self._is_due(authority, wanted)
            if is_due:
                self._renew(authority, wanted)
        return is_due

    def _usable_authority(self, wanted: Wanted, *, anew: bool = False) -> Pair:
        authority = None if anew else self._pair(_AUTHORITY)
        if authority is None:
            return self._make_authority(wanted)
        if authority.certificate.not_valid_after_utc <= self._now():
            raise AuthorityEnded("the box's authority has ended; 'tls init --anew' makes another")
        return authority

    def _make_authority(self, wanted: Wanted) -> Pair:
        host = socket.gethostname()
        names = {*wanted.names, *_possible([host, *self._called])}
        authority = new_authority(host, sorted(names), self._now())
        self._write(_AUTHORITY, authority.pem)
        self._write(_PUBLIC, authority.public_pem)
        return authority

    def _is_due(self, authority: Pair, wanted: Wanted) -> bool:
        try:
            server = self._pair(_CERTIFICATE)
        except AuthorityDamaged:
            return True
        if server is None or not authority.has_signed(server):
            return True
        ends_at = server.certificate.not_valid_after_utc
        is_last = ends_at == authority.certificate.not_valid_after_utc
        if self._now() >= _renewal(server) and not is_last:
            return True
        if self._now() < server.certificate.not_valid_before_utc:
            return True
        return not self._names(authority, wanted) <= set(certified_names(server.certificate))

    def _renew(self, authority: Pair, wanted: Wanted) -> None:
        first = [*wanted.names, self._first_name][0]
        names = sorted(self._names(authority, wanted), key=lambda name: (name != first, name))
        server = authority.sign(names, wanted.days, self._now())
        self._write(_CERTIFICATE, server.pem)
        _log.info("a certificate until %s is used", _told(server.certificate.not_valid_after_utc))

    def _names(self, authority: Pair, wanted: Wanted) -> set[Name]:
        own = {*own_names(), *_possible([self._first_name, *self._called])}
        return {name for name in own if authority.vouches_for(name)} | set(wanted.names)

    def _merged(self, request: Request) -> Wanted:
        former = Wanted() if request.anew else self._wanted()
        names = former.names
        if request.names is not None:
            names = tuple(dict.fromkeys(map(checked_name, request.names)))
        days = former.days if request.days is None else request.days
        if not 1 <= days <= MAX_DAYS:
            raise BadRequest(f"a certificate is for 1 to {MAX_DAYS} days")
        return Wanted(names, days)

    def _wanted(self) -> Wanted:
        content = self._read(_WANTED)
        try:
            return Wanted() if content is None else msgspec.json.decode(content, type=Wanted)
        except msgspec.MsgspecError as error:
            raise _damaged(_WANTED) from error

    def _pair(self, name: str) -> Pair | None:
        content = self._read(name)
        try:
            return None if content is None else Pair.read(content)
        except AuthorityDamaged as error:
            raise _damaged(name) from error

    def _read(self, name: str) -> bytes | None:
        with translated_os_errors():
            try:
                return (self._folder / name).read_bytes()
            except FileNotFoundError:
                return None

    def _write(self, name: str, content: bytes) -> None:
        """Replace a file in one step; nobody else may read any of them."""
        temporary = self._folder / f".{name}"
        with translated_os_errors():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(descriptor)
            os.replace(temporary, self._folder / name)
            sync_path(self._folder)

    def _now(self) -> datetime:
        """By the node's clock, but never before this was written."""
        return datetime.fromtimestamp(max(self._clock.now_us(), RELEASED_US) / 1e6, UTC)


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _check(authority: Pair, wanted: Wanted) -> None:
    for name in wanted.names:
        if not authority.vouches_for(name):
            raise BadRequest(
                f"the authority of this box may not vouch for '{name}'; 'tls init --anew' makes"
                " another one, which every device has to trust anew",
                code="name_not_permitted",
            )


def _damaged(name: str) -> AuthorityDamaged:
    return AuthorityDamaged(f"{FOLDER}/{name} is damaged; 'tls init --anew' makes all of it anew")


def own_names() -> set[Name]:
    """The names and addresses by which this machine can be reached, as far as it knows them."""
    host = socket.gethostname()
    names = ["localhost", "127.0.0.1", "::1", host, f"{host.partition('.')[0]}.local"]
    return set(_possible(names)) | {str(network.address.ip) for network in networks()}


def _possible(names: Iterable[str]) -> Sequence[Name]:
    """Those that can stand in a certificate; a machine may be called anything."""
    possible = []
    for name in names:
        try:
            possible.append(checked_name(name))
        except BadRequest:
            continue
    return possible


def _renewal(server: Pair) -> datetime:
    begins_at = server.certificate.not_valid_before_utc
    return begins_at + (server.certificate.not_valid_after_utc - begins_at) * RENEWED_AT


def _told(moment: datetime) -> str:
    return to_rfc3339(to_us(moment))
