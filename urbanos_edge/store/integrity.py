"""Whether a file is what was written: size, ends, checksum; and how it gets to the disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

CHECKSUM_BYTES: Final = 16
Checksum = bytes
_MAGIC: Final = b"PAR1"


def checksum_of(path: Path) -> Checksum:
    """BLAKE2b-128 of a whole file, read outside the interpreter's lock.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, new_hash).digest()


def new_hash() -> hashlib.blake2b:
    """What checksums are made with."""
    return hashlib.blake2b(digest_size=CHECKSUM_BYTES)


def fault(path: Path, size: int, checksum: Checksum | None) -> str | None:
    """What is wrong with a Parquet file, in words that follow its name; None when nothing is.

    Without a checksum only its size and its ends are looked at.
    """
    try:
        found = path.stat().st_size
        if found != size:
            return f"has {found:,} bytes, {size:,} were written"
        if not _has_ends(path):
            return "is no Parquet file any more"
        if checksum is not None and checksum_of(path) != checksum:
            return "holds other bytes than were written"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def _has_ends(path: Path) -> bool:
    """Whether the file begins and ends as Parquet files do."""
    with path.open("rb") as stream:
        head = stream.read(len(_MAGIC))
        stream.seek(-len(_MAGIC), os.SEEK_END)
        return head == stream.read() == _MAGIC


def sync_path(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
