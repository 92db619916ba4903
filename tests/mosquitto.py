"""Debian's Mosquitto on the loopback address, its own clients, and a wire to it that can be cut."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from tests.processes import free_port, wait_until

USER: Final = ("node", "p@ss:w/rd")
USER_INFO: Final = "node:p%40ss%3Aw%2Frd"
"""The user and the password, as a URL spells them."""


class Mosquitto:
    """A broker that keeps what it holds in its folder, and lets one user in."""

    def __init__(self, folder: Path, *settings: str) -> None:
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.url = f"mqtt://{USER_INFO}@127.0.0.1:{self.port}"
        passwords = folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), *USER], check=True)
        self._config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", f"password_file {passwords}", *settings]
        lines += ["persistence true", f"persistence_location {folder}/"]
        lines += ["user root"]  # else root would become somebody who may not read the folder
        self._config.write_text("\n".join(lines) + "\n")

    @contextmanager
    def running(self) -> Iterator[None]:
        words = ["/usr/sbin/mosquitto", "-c", str(self._config)]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(self._is_listening, 10)
                yield
            finally:
                process.terminate()

    def publish(self, topic: str, message: str | bytes, *more: str) -> None:
        """Publish one message with QoS 1, as a device of its own would."""
        words = ["mosquitto_pub", *self.login(), "-q", "1", "-t", topic, "-s", *more]
        sent = message.encode() if isinstance(message, str) else message
        subprocess.run(words, input=sent, check=True, timeout=30)

    def publish_lines(self, topic: str, messages: Sequence[str]) -> None:
        """Publish one message after the other, all over one connection."""
        words = ["mosquitto_pub", *self.login(), "-q", "1", "-t", topic, "-l"]
        lines = "".join(f"{message}\n" for message in messages)
        subprocess.run(words, input=lines.encode(), check=True, timeout=30)

    def login(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-u", USER[0], "-P", USER[1]]

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Wire:
    """A connection to a broker that passes on what goes up, until it is told to swallow it."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._open: list[asyncio.StreamWriter] = []
        self.port = 0
        self.swallows = False
        """Whether what the node says no longer reaches the broker."""

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """Break all connections off."""
        for writer in self._open:
            writer.close()
        self._open.clear()

    async def _join(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection("127.0.0.1", self._broker_port)
        self._open += [back, forth]
        await asyncio.gather(
            self._pass_on(near, forth, up=True), self._pass_on(far, back, up=False)
        )

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, up: bool
    ) -> None:
        try:
            while heard := await source.read(1 << 16):
                if not (up and self.swallows):
                    target.write(heard)
        except ConnectionError:
            pass
        target.close()
