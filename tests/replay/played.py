"""A small server that plays the node, and archives to send to it."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from urbanos_edge.cli.replay import replay_command
from urbanos_edge.errors import EdgeError
from urbanos_edge.replay import ReplayOptions, ReplaySummary, replay

START_AT = datetime(2024, 1, 1, tzinfo=UTC)
Answer = tuple[int, dict[str, str], Any]
"""Status, headers, body."""


@dataclass
class PlayedNode:
    """Keeps what it is sent by identity, and answers as `trouble` says while it lasts.

    An element of `trouble` is an answer to give instead of taking the request, or a word: `drop`
    takes it and closes the connection unanswered, `slow` takes it after 0.2 s.
    """

    trouble: list[Answer | str] = field(default_factory=list)
    reject: Callable[[dict[str, Any]], str | None] = lambda reading: None
    stored: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    arrived: list[tuple[str, str]] = field(default_factory=list)
    requests: int = 0
    connections: int = 0
    node_id: str = "node-1"
    encodings: set[str | None] = field(default_factory=set)
    port: int = 0
    _server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def status(self) -> dict[str, Any]:
        return {
            "node": {"id": self.node_id, "name": "played"},
            "totals": {
                "stored": len(self.stored),
                "duplicates": len(self.arrived) - len(self.stored),
                "revisions": 0,
                "rejected": 0,
                "dead_letters": 0,
            },
            "spool": {"readings": 0},
            "store": {"rows": len(self.stored), "files": 1, "bytes": 1},
        }

    def take(self, authorization: str, readings: list[dict[str, Any]]) -> Answer | None:
        if authorization != "Bearer secret":
            return 401, {}, {"error": {"code": "unauthorized", "message": "unknown token"}}
        self.requests += 1
        trouble = self.trouble.pop(0) if self.trouble else ""
        if isinstance(trouble, tuple):
            return trouble
        if trouble == "slow":
            time.sleep(0.2)
        rejected = []
        for index, reading in enumerate(readings):
            code = self.reject(reading)
            if code is not None:
                rejected.append({"index": index, "code": code, "message": "no"})
                continue
            identity = reading["sensor_id"], reading["timestamp"]
            self.arrived.append(identity)
            self.stored[identity] = reading
        if trouble == "drop":
            return None
        accepted = len(readings) - len(rejected)
        tally = {"accepted": accepted, "duplicates": 0, "rejected": rejected}
        return (202 if accepted else 422), {}, {"success": bool(accepted), **tally}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, node: PlayedNode) -> None:
        self.node = node
        super().__init__(("127.0.0.1", node.port), _Door)


class _Door(BaseHTTPRequestHandler):
    """Takes what is said to a server's node."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.server.node.connections += 1
        super().handle()
        self.server.node.connections -= 1

    def handle_one_request(self) -> None:
        if self.server.node._server is None:  # connections kept alive end with the server
            self.close_connection = True
        else:
            super().handle_one_request()

    def do_GET(self) -> None:  # noqa: N802
        self._answer(200, {}, self.server.node.status())

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.node.encodings.add(self.headers.get("content-encoding"))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        answer = self.server.node.take(self.headers["authorization"], json.loads(body))
        if answer is None:
            self.close_connection = True
            return
        self._answer(*answer)

    def _answer(self, status: int, headers: dict[str, str], body: Any) -> None:
        encoded = json.dumps(body).encode()
        with contextlib.suppress(ConnectionError):  # a killed client hears nothing
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

    def log_message(self, *_: Any) -> None:
        pass


class Lines:
    """A report that keeps what it is told."""

    def __init__(self, on_progress: Callable[[int], None] = lambda rows: None) -> None:
        self.said: list[str] = []
        self.shares: list[float] = []
        self._on_progress = on_progress

    def say(self, line: str) -> None:
        self.said.append(line)

    def progress(self, rows: int, share: float) -> None:
        self.shares.append(share)
        self._on_progress(rows)


def archive_of(path: Path, rows: int, *, empty: int = -1, step_s: float = 60.0) -> Path:
    lines = ["sensor_id,latitude,longitude,timestamp,pm25"]
    for n in range(rows):
        moment = (START_AT + timedelta(seconds=n * step_s)).isoformat()
        lines.append(f"s{n % 7},60.1,24.9,{moment},{'' if n == empty else n / 10}")
    path.write_text("\n".join(lines) + "\n")
    return path


def options(node: PlayedNode, path: Path, **changes: Any) -> ReplayOptions:
    settled = {"url": node.url, "token": "secret", "state_dir": path.parent / "state"}
    brisk = {"batch": 500, "patience_s": 5.0, "flush_wait_s": 1.0}
    return ReplayOptions(**{**settled, **brisk, **changes})


def send(node: PlayedNode, archive: Path, **changes: Any) -> ReplaySummary:
    return replay([archive], options(node, archive, **changes), Lines())


def states(archive: Path) -> list[Path]:
    return list((archive.parent / "state").glob("*"))


def stop_after(rows: int) -> tuple[Lines, threading.Event]:
    stop = threading.Event()
    return Lines(lambda settled: stop.set() if settled >= rows else None), stop


def run(arguments: list[str]) -> Result:
    return CliRunner().invoke(replay_command, arguments, prog_name="urbanos-edge replay")


def complaint(result: Result) -> str:
    """The last line of the errors; what is left to the command line to show, as it is shown."""
    if isinstance(result.exception, EdgeError):
        return result.exception.message
    return result.stderr.splitlines()[-1]
