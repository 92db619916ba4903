"""Signatures of releases, as minisign makes them: Ed25519 over the BLAKE2b-512 of the file.

The format is that of minisign 0.11 (its documentation, "Signature format" and "Public key format").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from urbanos_edge.errors import EdgeError

_KEY_ALGORITHM: Final = b"Ed"
_HASHED: Final = b"ED"
_KEY_BYTES: Final = 2 + 8 + 32
_SIGNATURE_BYTES: Final = 2 + 8 + 64
_TRUSTED: Final = "trusted comment: "


class NotSigned(EdgeError):
    """A file is not what somebody with the installed key has signed."""

    code = "not_signed"


class _Key(NamedTuple):
    number: bytes
    public: Ed25519PublicKey


def check_signature(file: Path, signature: Path, public_key: Path) -> str:
    """Hold a file against its signature; return the comment that was signed with it.

    Raises:
        NotSigned: it is another file, another key, or no signature at all.
    """
    key = _read_key(public_key)
    lines = _lines(signature, 4)
    packed, over_all = _decoded(lines[1], _SIGNATURE_BYTES), _decoded(lines[3], 64)
    algorithm, number, signed = packed[:2], packed[2:10], packed[10:]
    comment = lines[2].removeprefix(_TRUSTED)
    if algorithm != _HASHED:
        raise NotSigned(f"{signature.name} is no signature of a hashed file; use minisign -SH")
    if number != key.number:
        raise NotSigned(f"{signature.name} was made with another key than {public_key}")
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "blake2b").digest()
    try:
        key.public.verify(signed, digest)
        key.public.verify(over_all, signed + comment.encode())
    except InvalidSignature as error:
        raise NotSigned(
            f"{file.name} is not the file that {signature.name} was made for"
        ) from error
    return comment


def _read_key(path: Path) -> _Key:
    raw = _decoded(_lines(path, 2)[1], _KEY_BYTES)
    if raw[:2] != _KEY_ALGORITHM:
        raise NotSigned(f"{path} is no public key of minisign")
    return _Key(raw[2:10], Ed25519PublicKey.from_public_bytes(raw[10:]))


def _lines(path: Path, count: int) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NotSigned(f"{path} cannot be read") from error
    if len(lines) < count:
        raise NotSigned(f"{path} is not of minisign's making")
    return lines


def _decoded(text: str, size: int) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise NotSigned("a key or signature is not written in base64") from error
    if len(raw) != size:
        raise NotSigned(f"a key or signature has {len(raw)} bytes, not {size}")
    return raw
