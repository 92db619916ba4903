"""Where backups go: a directory, such as a mounted disk, or a bucket that speaks S3.

Both hold objects under keys like `objects/ab12…`. An object appears whole or not at all.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from urbanos_edge.errors import BadRequest, EdgeError
from urbanos_edge.store.integrity import sync_path

_TEMPORARY: Final = ".tmp-"
_BUCKET_OPTIONS: Final = ("endpoint", "region")
_PIECE_BYTES: Final = 1 << 20
CONNECT_WITHIN: Final = timedelta(seconds=10)
SILENT_AT_MOST: Final = timedelta(minutes=5)
"""Of a bucket. A part of an upload is sent within it, too: two of 5 MiB at 300 kbit/s."""
WHOLE_WITHIN: Final = timedelta(days=1)
"""An object of a bucket, with all tries; obstore's 30 s are too few for a slow line."""
PARTS_AT_ONCE: Final = 2
"""Of an upload; obstore's twelve would share a slow line so that none is through in time."""


class TargetFailed(EdgeError):
    """The place of the backups cannot be read or written."""

    code = "backup_target_failed"


class Target(Protocol):
    """Objects by key; every method raises TargetFailed when the place does not answer."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of every object below a folder, by key."""

    def put(self, key: str, source: Path) -> None:
        """Copy a file there."""

    def put_bytes(self, key: str, content: bytes) -> None:
        """Write a small object."""

    def get(self, key: str, destination: Path) -> None:
        """Copy an object into a new file."""

    def get_bytes(self, key: str) -> bytes:
        """Read a small object."""

    def pieces(self, key: str) -> Iterator[bytes]:
        """Read an object without keeping it."""

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are gone already are no error."""


def open_target(address: str) -> Target:
    """A directory's path, or `s3://bucket/prefix?endpoint=…&region=…`.

    A bucket's credentials come from the usual environment variables (`AWS_ACCESS_KEY_ID`, …).

    Raises:
        BadRequest: it is neither.
        TargetFailed: the directory cannot be made.
    """
    if "://" not in address:
        return Directory(Path(address))
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query))
    if parts.scheme != "s3" or not parts.netloc or not set(options) <= set(_BUCKET_OPTIONS):
        raise BadRequest("a backup goes to a directory or to s3://bucket/prefix?endpoint=…")
    return Bucket(parts.netloc, parts.path.strip("/"), **options)


class Directory:
    """Objects as files below a directory. Each is synced, then renamed into its place."""

    def __init__(self, root: Path) -> None:
        self._root = root
        with _told():
            root.mkdir(exist_ok=True)  # without parents: they are gone when the disk is not there

    def sizes(self, folder: str) -> dict[str, int]:
        with _told():
            return {
                str(path.relative_to(self._root)): path.stat().st_size
                for path in sorted((self._root / folder).rglob("*"))
                if path.is_file() and not path.name.startswith(_TEMPORARY)
            }

    def put(self, key: str, source: Path) -> None:
        with _told(), self._replaced(key) as temporary:
            shutil.copyfile(source, temporary)

    def put_bytes(self, key: str, content: bytes) -> None:
        with _told(), self._replaced(key) as temporary:
            temporary.write_bytes(content)

    def get(self, key: str, destination: Path) -> None:
        with _told():
            shutil.copyfile(self._root / key, destination)

    def get_bytes(self, key: str) -> bytes:
        with _told():
            return (self._root / key).read_bytes()

    def pieces(self, key: str) -> Iterator[bytes]:
        with _told(), (self._root / key).open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece

    def delete(self, keys: Sequence[str]) -> None:
        with _told():
            for key in keys:
                (self._root / key).unlink(missing_ok=True)

    @contextmanager
    def _replaced(self, key: str) -> Iterator[Path]:
        """A temporary path whose file becomes the object, durably, when the block ends.

        Its owner only may read it: it may hold passwords of the settings.
        """
        final = self._root / key
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.parent / f"{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            temporary.touch(0o600, exist_ok=False)
            yield temporary
            sync_path(temporary)
            temporary.rename(final)
        finally:
            temporary.unlink(missing_ok=True)
        sync_path(final.parent)


class Bucket:
    """Objects in a bucket; an upload that is broken off leaves none."""

    def __init__(self, bucket: str, prefix: str, endpoint: str = "", region: str = "") -> None:
        options = {"endpoint": endpoint, "region": region or os.environ.get("AWS_REGION", "")}
        with _told():
            self._store = S3Store(
                bucket,
                prefix=prefix or None,
                client_options={
                    "allow_http": endpoint.startswith("http://"),
                    "connect_timeout": CONNECT_WITHIN,
                    "read_timeout": SILENT_AT_MOST,
                    "timeout": WHOLE_WITHIN,
                },
                retry_config={"retry_timeout": WHOLE_WITHIN},
                **{name: value for name, value in options.items() if value},  # type: ignore[arg-type]
            )

    def sizes(self, folder: str) -> dict[str, int]:
        with _told():
            pages = obstore.list(self._store, prefix=folder)
            return {found["path"]: found["size"] for page in pages for found in page}

    def put(self, key: str, source: Path) -> None:
        with _told():
            obstore.put(self._store, key, source, max_concurrency=PARTS_AT_ONCE)

    def put_bytes(self, key: str, content: bytes) -> None:
        with _told():
            obstore.put(self._store, key, content)

    def get(self, key: str, destination: Path) -> None:
        with _told(), destination.open("wb") as file:
            for piece in self.pieces(key):
                file.write(piece)

    def get_bytes(self, key: str) -> bytes:
        with _told():
            return bytes(obstore.get(self._store, key).bytes())

    def pieces(self, key: str) -> Iterator[bytes]:
        with _told():
            yield from map(bytes, obstore.get(self._store, key).stream())

    def delete(self, keys: Sequence[str]) -> None:
        with _told():
            if keys:
                obstore.delete(self._store, list(keys))


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the place of the backups says into one line of ours."""
    try:
        yield
    except OSError as error:  # FileNotFoundError of obstore is one, too
        raise TargetFailed(f"the backup cannot be read or written: {error}") from error
    except BaseError as error:
        told = str(error).splitlines()[0][:300]
        raise TargetFailed(f"the backup cannot be read or written: {told}") from error
