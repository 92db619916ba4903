"""The box's authority: what it certifies, what clients make of it, and when it renews."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from urbanos_edge.clock import Clock, Instant, to_us
from urbanos_edge.errors import BadRequest, NotFound
from urbanos_edge.settings import Settings
from urbanos_edge.tls.authority import (
    AuthorityDamaged,
    AuthorityEnded,
    checked_name,
    in_words,
    new_authority,
)
from urbanos_edge.tls.tls import Request, Tls

NOW = datetime.now(UTC).replace(microsecond=0)
"""Clients look at the real time."""
DAY = timedelta(days=1)


class Box:
    """A folder whose time is set by hand."""

    def __init__(self, folder: Path, now: datetime = NOW, **settings: Any) -> None:
        self.now = now
        clock = Clock(read=lambda: Instant(to_us(self.now), 0), awaits=lambda: False)
        called = {"node_name": "Town Hall", **settings}
        self.tls = Tls(folder / "tls", Settings(**called), clock)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path)
    made.tls.open(8443)
    return made


def trusting(authority_pem: bytes) -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(cadata=authority_pem.decode())
    return client


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> x509.Certificate:
    """What a client gets when it asks for this name."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (near, far):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    der = near.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def shown(box: Box, name: str = "localhost") -> x509.Certificate:
    """What a client that trusts the authority gets."""
    assert box.tls.context is not None
    return shake_hands(box.tls.context, trusting(box.tls.authority().public_pem), name)


def shown_at_any_time(box: Box) -> x509.Certificate:
    """What a client gets that does not look at the time."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    assert box.tls.context is not None
    return shake_hands(box.tls.context, client, "localhost")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1", ["lusab", "babad"]),
        ("63.84.220.193", ["gutih", "tugad"]),
        ("63.118.7.35", ["gutuk", "bisog"]),
        ("140.98.193.141", ["mudof", "sakat"]),
        ("64.255.6.200", ["haguz", "biram"]),
    ],
)
def test_bytes_become_the_words_of_the_published_table(address: str, words: list[str]) -> None:
    """The table of arXiv:0901.4016."""
    assert in_words(ip_address(address).packed) == words


def test_who_trusts_the_authority_reaches_the_box_by_all_its_names(box: Box) -> None:
    for name in ("localhost", "town-hall.local", "127.0.0.1", "::1"):
        shown(box, name)


def test_no_client_takes_the_certificate_for_another_name(box: Box) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shown(box, "other.local")


def test_who_trusts_another_authority_is_not_served(box: Box, tmp_path: Path) -> None:
    other = new_authority("other", [], NOW)
    assert box.tls.context is not None
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(box.tls.context, trusting(other.public_pem), "localhost")


@pytest.mark.parametrize(
    "name", ["bank.example", "notlocal", "local.example", "93.184.216.34", "2001:db8::1"]
)
def test_no_client_believes_a_stolen_key_about_another_site(tmp_path: Path, name: str) -> None:
    """OpenSSL is the client; nothing of ours looks at the name."""
    authority = new_authority("box", [], NOW)
    forged = tmp_path / "forged.pem"
    forged.write_bytes(authority.sign([name], 30, NOW).pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(forged)

    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(server, trusting(authority.public_pem), name)
    assert not authority.vouches_for(name)


def test_a_name_that_the_authority_was_made_for_is_certified(tmp_path: Path) -> None:
    box = Box(tmp_path)
    standing = box.tls.init(Request(names=("Air.City.example", "münchen.local", "93.184.216.34")))
    box.tls.open(8443)

    for name in ("air.city.example", "xn--mnchen-3ya.local", "93.184.216.34"):
        assert name in standing.names
        shown(box, name)


def test_a_name_outside_what_the_authority_may_vouch_for_changes_nothing(
    box: Box, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "tls").iterdir()}

    with pytest.raises(BadRequest, match="--anew"):
        box.tls.init(Request(names=("air.city.example",)))

    assert {path: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == before


def test_names_stay_until_others_are_given(box: Box) -> None:
    assert "a.local" in box.tls.init(Request(names=("a.local",))).names
    assert "a.local" in box.tls.init(Request(days=30)).names
    names = box.tls.init(Request(names=("b.local",))).names
    assert "b.local" in names
    assert "a.local" not in names


def test_another_authority_is_made_only_on_demand(box: Box) -> None:
    first = box.tls.standing().sha256

    assert box.tls.init(Request()).sha256 == first
    assert box.tls.init(Request(anew=True)).sha256 != first
    box.tls.load()
    shown(box)


def test_a_certificate_is_renewed_when_two_thirds_of_its_time_are_over(box: Box) -> None:
    """It is good from one day before to 90 days after; two thirds of that are 60.67 days."""
    first = shown(box)
    assert first.not_valid_before_utc == NOW - DAY
    assert first.not_valid_after_utc == NOW + 90 * DAY

    box.now = NOW + 59.5 * DAY
    assert not box.tls.renew_if_due()
    box.now = NOW + 59.7 * DAY
    assert box.tls.renew_if_due()
    assert shown_at_any_time(box).serial_number == first.serial_number
    box.tls.load()

    renewed = shown_at_any_time(box)
    assert renewed.serial_number != first.serial_number
    assert abs(renewed.not_valid_after_utc - (box.now + 90 * DAY)).total_seconds() < 1
    assert not box.tls.renew_if_due()


def test_a_box_with_another_name_gets_another_certificate(box: Box, tmp_path: Path) -> None:
    renamed = Box(tmp_path, node_name="Library")
    renamed.tls.open(8443)

    shown(renamed, "library.local")
    assert renamed.tls.standing().sha256 == box.tls.standing().sha256


def test_names_that_an_operator_allows_are_certified_from_the_start(tmp_path: Path) -> None:
    box = Box(tmp_path, allowed_hosts=("air.city.example", "*.city.example"))
    box.tls.open(8443)

    shown(box, "air.city.example")


def test_a_clock_that_was_ahead_leaves_no_certificate_of_the_future(tmp_path: Path) -> None:
    ahead = Box(tmp_path, now=NOW + 400 * DAY)
    ahead.tls.open(8443)

    right = Box(tmp_path)
    assert right.tls.renew_if_due()


def test_a_clock_that_wakes_up_in_1970_makes_an_authority_that_lasts(tmp_path: Path) -> None:
    box = Box(tmp_path, now=datetime(1970, 1, 2, tzinfo=UTC))
    box.tls.open(8443)

    assert box.tls.authority().certificate.not_valid_after_utc > datetime(2036, 10, 1, tzinfo=UTC)


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    authority = new_authority("box", [], NOW)
    late = authority.sign(["localhost"], 90, NOW + 3640 * DAY)

    ends_at = authority.certificate.not_valid_after_utc
    assert late.certificate.not_valid_after_utc == ends_at == NOW + 3650 * DAY


def test_an_authority_that_has_ended_is_told_of(box: Box, tmp_path: Path) -> None:
    box.now = NOW + 3649.5 * DAY
    assert box.tls.renew_if_due()
    assert not box.tls.renew_if_due(), "it cannot last longer"

    box.now = NOW + 3650 * DAY
    with pytest.raises(AuthorityEnded, match="tls init --anew"):
        box.tls.renew_if_due()
    box.tls.init(Request(anew=True))
    assert not box.tls.renew_if_due()


def test_nobody_else_may_read_the_keys(box: Box, tmp_path: Path) -> None:
    box.tls.init(Request())
    folder = tmp_path / "tls"

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert b"PRIVATE KEY" not in (folder / "ca.crt").read_bytes()
    assert b"PRIVATE KEY" not in box.tls.authority().public_pem


@pytest.mark.parametrize("damage", [b"", b"nothing", lambda pem: pem[: len(pem) // 2]])
def test_a_damaged_certificate_is_made_anew(
    box: Box, tmp_path: Path, damage: bytes | Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "tls" / "server.pem"
    path.write_bytes(damage if isinstance(damage, bytes) else damage(path.read_bytes()))

    assert box.tls.renew_if_due()
    box.tls.load()
    shown(box)


def test_a_damaged_authority_is_told_of_and_made_anew_only_on_demand(
    box: Box, tmp_path: Path
) -> None:
    path = tmp_path / "tls" / "authority.pem"
    other = new_authority("other", [], NOW)
    path.write_bytes(path.read_bytes().split(b"-----BEGIN CERT")[0] + other.public_pem)

    with pytest.raises(AuthorityDamaged, match="tls init --anew"):
        box.tls.renew_if_due()
    box.tls.init(Request(anew=True))
    box.tls.load()
    shown(box)


def test_before_it_is_made_there_is_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="tls init"):
        Box(tmp_path).tls.standing()


@pytest.mark.parametrize(
    "text", ["", "*.local", "a b", "-a.local", "a..b", "https://a.local", "a" * 64, "1.2.3.4/8"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        checked_name(text)


@pytest.mark.parametrize("days", [0, 399])
def test_a_time_that_browsers_refuse_is_refused(box: Box, days: int) -> None:
    with pytest.raises(BadRequest, match="1 to 398"):
        box.tls.init(Request(days=days))
