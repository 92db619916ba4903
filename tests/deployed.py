"""A root with two slots, a keeper that runs the node of one of them, and releases for the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from click.testing import CliRunner, Result

from tests.faults.victim import quiet_port
from tests.processes import LIFTED, wait_until
from tests.releases import build, sha256_of
from urbanos_edge import control
from urbanos_edge.cli import main
from urbanos_edge.deploy.slots import Slots

START_WITHIN_S: Final = 60.0
SETTINGS: Final = {"announce": "false", "discover": "false", "flush_interval_s": "0.5", **LIFTED}

DIES_AT_ITS_START: Final = {
    "urbanos_edge/server/server.py": """

def listening(settings):
    raise SystemExit("this release does not start")
"""
}
DIES_LATER: Final = {
    "urbanos_edge/server/server.py": """

_begun = _Server.startup


async def _startup(self, sockets=None):
    import os

    await _begun(self, sockets)
    asyncio.get_running_loop().call_later({after_s}, os._exit, 1)


_Server.startup = _startup
"""
}
_WRAPPED: Final = """

_right = counted


def counted(app, traffic):
    import asyncio

    inner = _right(app, traffic)

    async def wrapped(scope, receive, send):
        if scope["type"] == "http" and scope["path"].startswith("/api/v1/"):
            {fault}
        await inner(scope, receive, send)

    return wrapped
"""
IS_SLOW: Final = {
    "urbanos_edge/api/metrics.py": _WRAPPED.format(fault="await asyncio.sleep(2)"),
}
IS_WRONG: Final = {
    "urbanos_edge/api/metrics.py": _WRAPPED.format(
        fault="""headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"{}"})
            return"""
    ),
}


def dies_after(seconds: float) -> dict[str, str]:
    """The fault of a release that ends by itself a while after its start."""
    return {name: text.replace("{after_s}", str(seconds)) for name, text in DIES_LATER.items()}


class Deployed:
    """Two slots, the commands that change them, and the keeper's node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slots = Slots(folder / "root")
        self.data_dir = folder / "data"
        self.port = quiet_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "keeper.log"
        self._keeper: subprocess.Popen[bytes] | None = None

    def release(self, version: str, fault: dict[str, str] | None = None) -> Path:
        return build(self.folder, version, fault)

    def stage(self, wheel: Path) -> Result:
        """Stage it, whatever is lost by that."""
        words = [str(wheel), "--sha256", sha256_of(wheel), "--now"]
        return self.run("stage", *words, with_data=False)

    def run(self, *words: str, with_data: bool = True, check: bool = True) -> Result:
        """Run a `deploy` command, in this process."""
        where = ["--root", str(self.slots.root)]
        where += ["--data-dir", str(self.data_dir)] if with_data else []
        ended = CliRunner().invoke(main, ["deploy", words[0], *where, *words[1:]])
        assert not check or ended.exit_code == 0, ended.output + self.log()
        return ended

    def start(self) -> None:
        """Start the keeper, and return when its node is ready."""
        program = [sys.executable, "-m", "urbanos_edge", "deploy", "keep"]
        where = ["--root", str(self.slots.root), "--data-dir", str(self.data_dir)]
        variables = {f"URBANOS_{name.upper()}": value for name, value in SETTINGS.items()}
        with self._log.open("ab") as log:
            self._keeper = subprocess.Popen(
                [*program, *where, "--host", "127.0.0.1", "--port", str(self.port)],
                env=os.environ | variables,
                stdout=log,
                stderr=log,
            )
        with httpx.Client(base_url=self.url, timeout=5) as client:
            wait_until(lambda: _is_ready(client), START_WITHIN_S, self.log)

    def stop(self) -> None:
        """End the keeper and with it the node."""
        if self._keeper is not None:
            self._keeper.send_signal(signal.SIGTERM)
            self._keeper.wait(timeout=60)

    def version(self) -> str:
        """Of the node that has the data now."""
        found: str = control.request(self.data_dir, "status")["version"]
        return found

    def token(self) -> str:
        secret: str = control.request(self.data_dir, "token", {"scope": "gateway"})["token"]
        return secret

    def status(self) -> Any:
        return json.loads(self.run("status", "--json").stdout)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")[-4000:] if self._log.exists() else ""


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def deployed(folder: Path, version: str = "9.0.1") -> Iterator[Deployed]:
    """A box on which this version was installed first, and runs."""
    folder.mkdir(exist_ok=True)
    box = Deployed(folder)
    box.stage(box.release(version))
    box.run("cutover")
    try:
        box.start()
        yield box
    finally:
        box.stop()
