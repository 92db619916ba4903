"""The box's own certificate authority, and the certificates that it signs for the box.

Whoever trusts it has a safe way to the node. So that a key that was stolen opens nothing else, it
may vouch only for names of local networks, for private addresses, and for what it was made for
(name constraints: RFC 5280, 4.2.1.10).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from urbanos_edge.errors import BadRequest, EdgeError

AUTHORITY_DAYS: Final = 3650
LOCAL_ZONES: Final = ("localhost", "local", "home.arpa", "internal", "lan", "intranet")
"""Names that no public authority certifies: RFC 6761, 6762, 8375, and what networks use."""
PRIVATE_NETWORKS: Final = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")
        + ("127.0.0.0/8", "::1/128", "fc00::/7", "fe80::/10"),
    )
)
"""RFC 1918, 6598, 3927, 1122, 4291, 4193."""
_BACKDATED: Final = timedelta(days=1)
"""For devices whose clock is behind."""
_LONGEST_COMMON_NAME: Final = 64
_HOST: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9-]{1,63})*")
_CONSONANTS: Final = "bdfghjklmnprstvz"
_VOWELS: Final = "aiou"
_WORD_BYTES: Final = 2

Name = str
"""A host name in lower case, or an address as text."""


class AuthorityDamaged(EdgeError):
    """The file of the authority, or of its certificate, cannot be read."""

    code = "tls_damaged"


class AuthorityEnded(EdgeError):
    """Its ten years are over."""

    code = "tls_authority_ended"


class Pair:
    """A certificate and its private key, which belong together and are kept in one file."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def read(cls, pem: bytes) -> Pair:
        """The pair that `pem` returned.

        Raises:
            AuthorityDamaged: they are no certificate and key, or not one another's.
        """
        try:
            certificate = x509.load_pem_x509_certificate(pem)
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError) as error:
            raise AuthorityDamaged("a certificate or its key cannot be read") from error
        is_own = key.public_key() == certificate.public_key()
        if not (isinstance(key, ec.EllipticCurvePrivateKey) and is_own):
            raise AuthorityDamaged("a certificate and its key do not belong together")
        return cls(certificate, key)

    @property
    def pem(self) -> bytes:
        """Both; whoever reads it has the key."""
        key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return key + self.public_pem

    @property
    def public_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate, as systems show it."""
        return self.certificate.fingerprint(hashes.SHA256())

    def has_signed(self, other: Pair) -> bool:
        """Whether this authority signed the other's certificate."""
        try:
            other.certificate.verify_directly_issued_by(self.certificate)
        except Exception:  # one class for each thing that can be wrong with it
            return False
        return True

    def vouches_for(self, name: Name) -> bool:
        """Whether this authority may certify the name."""
        extension = self.certificate.extensions.get_extension_for_class(x509.NameConstraints)
        permitted = [general.value for general in extension.value.permitted_subtrees or ()]
        address = as_address(name)
        if address is not None:
            return any(address in one for one in permitted if not isinstance(one, str))
        zones = [one for one in permitted if isinstance(one, str)]
        return any(name == zone or name.endswith(f".{zone}") for zone in zones)

    def sign(self, names: Sequence[Name], days: int, now: datetime) -> Pair:
        """A certificate for a server of these names, and its key; it ends with the authority."""
        ends_at = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(names[0])
        builder = _builder(subject, self.certificate.subject, key, now, ends_at)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(signer, critical=False)
            .add_extension(x509.SubjectAlternativeName(map(_general, names)), critical=False)
        )
        return Pair(builder.sign(self._key, hashes.SHA256()), key)


def new_authority(box: str, names: Iterable[Name], now: datetime) -> Pair:
    """An authority for the box of that name; beyond local names it may certify `names`."""
    subject = _subject(f"UrbanOS Edge authority of {box}")
    key = ec.generate_private_key(ec.SECP256R1())
    ends_at = now + timedelta(days=AUTHORITY_DAYS)
    builder = _builder(subject, subject, key, now, ends_at)
    permitted = x509.NameConstraints(_permitted(names), None)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(permitted, critical=True)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def certified_names(certificate: x509.Certificate) -> list[Name]:
    """The names and addresses that a server's certificate is for."""
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(general.value) for general in extension.value]


def checked_name(text: str) -> Name:
    """A host name or an address as it stands in certificates.

    Raises:
        BadRequest: it is neither.
    """
    address = as_address(text)
    if address is not None:
        return str(address)
    try:
        name = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name):
        raise BadRequest(f"'{text[:80]}' is no host name and no address", code="bad_name")
    return name


def as_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a text is, if it is one."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def in_words(digest: bytes) -> list[str]:
    """Two bytes a word that can be read out: proquints (D. S. Wilkerson, arXiv:0901.4016)."""
    pieces = [digest[at : at + _WORD_BYTES] for at in range(0, len(digest), _WORD_BYTES)]
    return [_word(int.from_bytes(piece, "big")) for piece in pieces]


def _word(number: int) -> str:
    """Consonants have four bits, vowels two."""
    return (
        _CONSONANTS[number >> 12]
        + _VOWELS[number >> 10 & 3]
        + _CONSONANTS[number >> 6 & 15]
        + _VOWELS[number >> 4 & 3]
        + _CONSONANTS[number & 15]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    ends_at: datetime,
) -> x509.CertificateBuilder:
    """What every certificate has; validity is in whole seconds."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - _BACKDATED).astimezone(UTC).replace(microsecond=0))
        .not_valid_after(ends_at.astimezone(UTC).replace(microsecond=0))
        .add_extension(identifier, critical=False)
    )


def _key_usage(**uses: bool) -> x509.KeyUsage:
    every = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**(dict.fromkeys(every, False) | uses))


def _subject(common_name: str) -> x509.Name:
    short = common_name[:_LONGEST_COMMON_NAME]
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, short)])


def _permitted(names: Iterable[Name]) -> list[x509.GeneralName]:
    """Local zones and private networks, and each name that lies in none of them."""
    zones: list[x509.GeneralName] = [x509.DNSName(zone) for zone in LOCAL_ZONES]
    zones += [x509.IPAddress(network) for network in PRIVATE_NETWORKS]
    for name in names:
        address = as_address(name)
        zones.append(
            x509.DNSName(name) if address is None else x509.IPAddress(ipaddress.ip_network(address))
        )
    return zones


def _general(name: Name) -> x509.GeneralName:
    address = as_address(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)
