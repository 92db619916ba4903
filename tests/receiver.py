"""A receiver of webhooks, outside the node: it notes what it gets, and answers as it is told to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass
class Got:
    """One request: what it was signed with, its body, and how it was answered."""

    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    def is_signed(self, secret: str = SECRET) -> bool:
        """Whether the signature is right: HMAC-SHA256 over `id.timestamp.body`, in base64."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        about = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}."
        made = hmac.new(key, about.encode() + self.body, hashlib.sha256).digest()
        return self.headers["webhook-signature"] == "v1," + base64.b64encode(made).decode()


class Receiver:
    """An HTTP server on the loopback address."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.status = 204
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/alerts?key=hidden"

    @property
    def confirmed(self) -> list[Got]:
        """What it took, in order."""
        return [got for got in list(self.got) if got.status < 300]

    def story(self) -> list[tuple[str, str]]:
        """What it took: the event and the sensor."""
        return [(got.event["event"], got.event["alert"]["sensor_id"]) for got in self.confirmed]


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.status
            receiver.got.append(Got(headers, body, status))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens until the block ends."""
    made = Receiver()
    with served(made.server):
        yield made


@contextmanager
def served(server: ThreadingHTTPServer) -> Iterator[None]:
    """Let a server answer until the block ends."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()
