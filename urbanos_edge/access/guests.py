"""Who reads where there are no logins and no data directory: whoever a file names, or everybody."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from pathlib import Path
from typing import Final, NamedTuple

from urbanos_edge.access.door import Door
from urbanos_edge.errors import SettingsError
from urbanos_edge.settings import Settings

LOOK_EVERY_S: Final = 1.0
_SHA256: Final = re.compile("[0-9a-fA-F]{64}")
_log = logging.getLogger(__name__)


class Reader(NamedTuple):
    """Somebody who may read where not everybody may."""

    id: int
    name: str


class Readers:
    """Who may read, by a file: in each line a name and the SHA-256 of a secret; `#` for remarks.

    The file is looked at again within a second: a line that is gone opens nothing any more.
    """

    def __init__(self, path: Path) -> None:
        """Raises SettingsError: the file cannot be read, or is none of this kind."""
        self._path = path
        self._looked_s = time.monotonic()
        self._state = _state_of(path)
        self._by_hash = _listed(path)

    def find(self, secret: str) -> Reader | None:
        """Who holds a secret; only hashes are compared."""
        if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._look_again()
        return self._by_hash.get(hashlib.sha256(secret.encode()).digest())

    def _look_again(self) -> None:
        """A file that cannot be read just now changes nothing."""
        self._looked_s = time.monotonic()
        try:
            if (state := _state_of(self._path)) != self._state:
                self._by_hash = _listed(self._path)
                self._state = state
        except SettingsError as error:
            _log.error("%s; who could read before still can", error.message)


class Guests:
    """Who asks where nobody logs in: somebody a file names, or nobody."""

    def __init__(self, settings: Settings, label: str, readers: Readers | None = None) -> None:
        """Raises SettingsError: not everybody may read, and nobody is named who may."""
        if readers is None and not settings.public_read:
            raise SettingsError("public_read is false: say who may read, with --readers FILE")
        self.door = Door(settings, label, os.urandom(32))
        self._readers = readers

    def known(self, authorization: str, _cookies: str) -> Reader | None:
        """Who a request's token says it is from, if that is somebody."""
        scheme, _, secret = authorization.partition(" ")
        if self._readers is None or scheme.lower() != "bearer":
            return None
        return self._readers.find(secret.strip())


def _state_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    return found.st_ino, found.st_size, found.st_mtime_ns


def _listed(path: Path) -> dict[bytes, Reader]:
    """Readers by the hashes of their secrets."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or _SHA256.fullmatch(words[1]) is None:
            raise SettingsError(f"{path}, line {number}: expected a name and 64 hexadecimal digits")
        found[bytes.fromhex(words[1])] = Reader(number, words[0])
    return found
