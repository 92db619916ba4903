"""What the node writes down as it goes: one line an event, for people or as JSON.

Each line made while a request is answered carries the request's id, which the client has as
`X-Request-Id`. Secrets are taken out. The last lines are kept in memory, for the bundle that is
sent to whoever is to help.
"""

from __future__ import annotations

import logging
import random
import sys
from collections import deque
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from urbanos_edge.secrecy import Veil
from urbanos_edge.settings import Settings

KEPT_LINES: Final = 2000
"""The oldest goes when there is one more."""
MAX_LINE_LETTERS: Final = 20_000
"""A longer text, as of a deep traceback, is cut in its middle."""
_ids: Final = random.Random()
"""They tell requests apart and guard nothing, so they need not cost a call of the system each."""
_request: ContextVar[str] = ContextVar("request", default="")


class Line(msgspec.Struct, omit_defaults=True):
    """One event, as it stands in a log of JSON."""

    at: str
    level: str
    logger: str
    message: str
    request: str = ""
    """The id of the request that was being answered."""
    error: str = ""
    """The traceback."""


def begin_request() -> str:
    """An id for the request that this task answers, also in threads that work for it."""
    made = f"{_ids.getrandbits(48):012x}"
    _request.set(made)
    return made


def current_request() -> str:
    """The id of the request that is being answered here; empty where none is."""
    return _request.get()


class Formatter(logging.Formatter):
    """Makes a line of a record, without secrets."""

    def __init__(self, veil: Veil, form: Literal["text", "json"]) -> None:
        super().__init__()
        self._veil = veil
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        line = Line(
            at=datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            level=record.levelname.lower(),
            logger=record.name,
            message=self._clean(record.getMessage()),
            request=_request.get(),
            error=self._clean(self.formatException(record.exc_info)) if record.exc_info else "",
        )
        return msgspec.json.encode(line).decode() if self._form == "json" else _in_text(line)

    def _clean(self, text: str) -> str:
        if len(text) > MAX_LINE_LETTERS:
            half = MAX_LINE_LETTERS // 2
            text = f"{text[:half]}\n[…]\n{text[-half:]}"
        return self._veil.over(text)


class Memory(logging.Handler):
    """Keeps the last lines."""

    def __init__(self, formatter: Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def open_logbook(settings: Settings) -> None:
    """Log to stderr and to memory from now on."""
    veil = Veil(settings)
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(Formatter(veil, settings.log_format))
    logging.basicConfig(
        level=logging.INFO, handlers=[stream, Memory(Formatter(veil, "json"))], force=True
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it names addresses with their keys


def last_lines() -> list[str]:
    """What was kept, as JSON, the oldest first; nothing where no log was opened."""
    kept = [handler for handler in logging.getLogger().handlers if isinstance(handler, Memory)]
    return [line for handler in kept for line in handler.lines.copy()]


def _in_text(line: Line) -> str:
    request = f" [{line.request}]" if line.request else ""
    error = f"\n{line.error}" if line.error else ""
    return f"{line.level.upper()} {line.logger}{request}: {line.message}{error}"
