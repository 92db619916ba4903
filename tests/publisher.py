"""A server that publishes what a test tells it to, and notes how it was asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.processes import wait_until
from tests.receiver import served


@dataclass
class Page:
    """What is at one path: an ETag that is asked with is answered by 304.

    It is answered once so many have been asked at once as it `waits_for`, and a pause after that.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    waits_for: int = 0


@dataclass(frozen=True)
class Asked:
    """One request, with the names of its headers in small letters."""

    path: str
    headers: dict[str, str]


class Publisher:
    """An HTTP server on the loopback address; `pages` may be changed at any time."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    @contextmanager
    def _counted(self, asked: Asked) -> Iterator[None]:
        with self._lock:
            self.asked.append(asked)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        yield
        with self._lock:
            self.at_once -= 1

    def answer(self, asked: Asked) -> Page:
        with self._counted(asked):
            page = self.pages.get(asked.path, Page(status=404))
            wait_until(lambda: self.most_at_once >= page.waits_for, 30)
            time.sleep(page.pause_s)
            etag = page.headers.get("ETag")
            if etag is not None and asked.headers.get("if-none-match") == etag:
                return Page(status=304, headers=page.headers)
            return page


def _handler(publisher: Publisher) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            page = publisher.answer(Asked(self.path, headers))
            self.send_response(page.status)
            for name, value in {"Content-Length": str(len(page.body)), **page.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(page.body)
            except OSError:
                pass  # it has heard enough

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def publishing() -> Iterator[Publisher]:
    """A publisher that answers until the block ends."""
    made = Publisher()
    with served(made.server):
        yield made
