"""Chromium as a kiosk runs it, spoken to over its DevTools protocol and nothing in between.

A library that steers browsers listens to all that a page asks for, and the browser keeps that for
whoever listens. Where memory or time is measured nobody may listen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from bench.http import Connection
from bench.processes import rss_mib, running, wait_until

ARGUMENTS: Final = (
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""WebGL without a graphics card, and no errands of the browser's own."""
ANSWERS_WITHIN_S: Final = 120.0
"""A browser that draws by software beside other work is slow at times."""
STARTS_WITHIN_S: Final = 60.0


class Devtools:
    """Commands to one target, one after the other."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._asked = 0

    def ask(self, method: str, **parameters: Any) -> Any:
        """What it answers; events that come before are let go.

        Raises:
            RuntimeError: it does not know the command, or cannot do it, or is gone.
        """
        self._asked += 1
        asked = {"id": self._asked, "method": method, "params": parameters}
        try:
            self._connection.send(json.dumps(asked))
            answer = self._until("id", self._asked)
        except (ConnectionClosed, TimeoutError) as error:
            raise RuntimeError(f"{method}: the browser does not answer") from error
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def hear(self, event: str) -> Any:
        """What the next event of that name says."""
        return self._until("method", event)["params"]

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, of JSON's kinds.

        Raises:
            RuntimeError: it throws.
        """
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression[:80]}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def _until(self, name: str, value: object) -> Any:
        while True:
            heard = json.loads(self._connection.recv(timeout=ANSWERS_WITHIN_S))
            if heard.get(name) == value:
                return heard


class Chromium:
    """A running browser: its one page, and itself."""

    def __init__(self, page: Devtools, itself: Devtools) -> None:
        self.page = page
        self.itself = itself

    def rss_mib(self, kind: str) -> float:
        """Memory of its largest process of a kind: 'renderer' draws the page, 'GPU' its canvas."""
        found = self.itself.ask("SystemInfo.getProcessInfo")["processInfo"]
        return max(rss_mib(each["id"]) for each in found if each["type"] == kind)


@contextmanager
def chromium(program: str, folder: Path, *more: str) -> Iterator[Chromium]:
    """Start one with a new profile in that folder; it has ended when the block ends.

    Raises:
        NotStarted: it did not come up in time.
    """
    folder.mkdir()
    said, log = folder / "DevToolsActivePort", folder / "log"
    words = [program, "--headless", "--remote-debugging-port=0", f"--user-data-dir={folder}"]
    with ExitStack() as stack:
        stack.enter_context(running([*words, "--no-first-run", *ARGUMENTS, *more], log))
        wait_until(lambda: said.exists() and "\n/" in said.read_text(), STARTS_WITHIN_S, log)
        port, path = said.read_text().split()
        page, itself = (
            stack.enter_context(_speaking(address))
            for address in (_page(port), f"ws://127.0.0.1:{port}{path}")
        )
        yield Chromium(page, itself)


@contextmanager
def _speaking(address: str) -> Iterator[Devtools]:
    with connect(address, max_size=None, compression=None, ping_interval=None) as connection:
        yield Devtools(connection)


def _page(port: str) -> str:
    with Connection(int(port)) as connection:
        targets: list[dict[str, str]] = json.loads(connection.get("/json/list").body)
    return next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
