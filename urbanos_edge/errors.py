"""The family of errors the node raises on purpose.

Each class carries the HTTP status and the stable code a client sees; `api` renders them in one
place. Anything outside this family is a fault of ours and is answered with an opaque id.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class EdgeError(Exception):
    """Something the caller can understand and act on."""

    status = 500
    code = "internal_error"
    retry_after_s: int | None = None

    def __init__(self, message: str, *, code: str | None = None, details: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code


class BadRequest(EdgeError):
    """The request itself cannot be read: not JSON, an unknown parameter value."""

    status = 400
    code = "bad_request"


class Unauthorized(EdgeError):
    """No token, or one this node does not know."""

    status = 401
    code = "unauthorized"


class Forbidden(EdgeError):
    """The token is known but does not allow this."""

    status = 403
    code = "forbidden"


class NotFound(EdgeError):
    """There is nothing at this address."""

    status = 404
    code = "not_found"


class BodyTooLarge(EdgeError):
    """The body, or what it unpacks to, is over the limit."""

    status = 413
    code = "body_too_large"


class UnsupportedMedia(EdgeError):
    """A content type or encoding the node does not read."""

    status = 415
    code = "unsupported_media_type"


class Unprocessable(EdgeError):
    """Readable, but its values are impossible; sending it again will not help."""

    status = 422
    code = "unprocessable"


class ReadingRejected(Unprocessable):
    """The payload can never become a Reading; sending it again will not help."""

    code = "reading_rejected"


class Misdirected(EdgeError):
    """The request names a host that this node is not."""

    status = 421
    code = "unknown_host"


class TooManyRequests(EdgeError):
    """The client asked more often than it may; it may again after `retry_after_s`."""

    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(EdgeError):
    """The node cannot do this now; try again after `retry_after_s`."""

    status = 503
    code = "unavailable"
    retry_after_s = 5


class StorageUnavailable(Unavailable):
    """The database is locked or the disk failed; nothing was acknowledged."""

    code = "storage_unavailable"


class OutOfMemory(StorageUnavailable):
    """The query engine found no memory for this much at once; less may work."""

    code = "out_of_memory"


class DiskFull(EdgeError):
    """No space is left; nothing was acknowledged."""

    status = 507
    code = "disk_full"
    retry_after_s = 60


@contextmanager
def translated_os_errors() -> Iterator[None]:
    """Turn the operating system's errors about a disk into the node's own.

    Raises:
        DiskFull: no space or no quota is left.
        StorageUnavailable: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("the disk is full; nothing was stored") from error
        raise StorageUnavailable(f"the disk failed: {error.strerror}") from error


class DirectoryInUse(EdgeError):
    """Another process owns the data directory."""

    status = 409
    code = "directory_in_use"


class SettingsError(EdgeError):
    """A setting is unknown or has an impossible value; the node does not start."""

    code = "settings"


def why_unreached(error: BaseException) -> str:
    """Why a connection failed, as the system says it; a library's own words may name an address.

    Where no system call failed it is the error's name.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"no TLS came about ({cause.reason})"
        if isinstance(cause, socket.gaierror):
            return str(cause.strerror)
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
