"""The keeper holds the socket, and runs what lies in the slot in use: here a short program."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from urbanos_edge.deploy.keeper import FIRST_DESCRIPTOR, STANDING
from urbanos_edge.deploy.service import NoService, find_service
from urbanos_edge.deploy.slots import Slots

PROGRAM = f"""#!{sys.executable}
import os, socket, sys
assert os.environ["LISTEN_PID"] == str(os.getpid()) and os.environ["LISTEN_FDS"] == "1"
listener = socket.socket(fileno={FIRST_DESCRIPTOR})
while True:
    connection, _ = listener.accept()
    if connection.recv(100) == b"die":
        os._exit(3)
    connection.sendall(f"{{__file__}} {{os.getpid()}} {{sys.argv[1:]}}".encode())
    connection.close()
"""


class Kept:
    """A keeper with two slots, and its socket's port."""

    def __init__(self, folder: Path) -> None:
        self.slots = Slots(folder)
        for name in ("blue", "green"):
            program = self.slots.program(name)
            program.parent.mkdir(parents=True)
            program.write_text(PROGRAM)
            program.chmod(0o755)
        self.slots.use("blue")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
            self.process = self.start(listener.fileno())

    def start(self, listener: int) -> subprocess.Popen[bytes]:
        words = [
            sys.executable,
            "-m",
            "urbanos_edge.deploy.keeper",
            str(self.slots.root),
            "1",
            "a word",
        ]
        return subprocess.Popen(
            words, preexec_fn=lambda: os.dup2(listener, FIRST_DESCRIPTOR, True), close_fds=False
        )

    def say(self, word: bytes = b"who") -> tuple[str, int, str]:
        """The slot, the process and the words that it was started with."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(word)
            program, number, words = connection.recv(1000).decode().split(" ", 2)
        return Path(program).parents[1].name, int(number), words

    def runs(self) -> int | None:
        """The process that the keeper has started last."""
        number: int | None = json.loads((self.slots.root / STANDING).read_text())["node"]
        return number


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.process.terminate()
    made.process.wait(timeout=20)


def test_what_ends_by_itself_is_started_again_and_nobody_is_refused(kept: Kept) -> None:
    slot, first, words = kept.say()
    assert (slot, words) == ("blue", "['a word']")
    with socket.create_connection(("127.0.0.1", kept.port)) as fatal:
        fatal.sendall(b"die")
        _, second, _ = kept.say()
    assert second != first
    assert find_service(kept.slots.root).ends() == 1


def test_a_restart_starts_what_is_in_use_now(kept: Kept) -> None:
    slot, first, _ = kept.say()
    assert slot == "blue"
    kept.slots.use("green")
    service = find_service(kept.slots.root)
    service.restart()
    wait_until(lambda: kept.runs() not in (None, first), 10)
    assert kept.say()[0] == "green"
    assert service.ends() == 0


def test_there_is_one_keeper_of_a_root(kept: Kept) -> None:
    kept.say()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        second = kept.start(listener.fileno())
    assert second.wait(timeout=20) == 1
    assert kept.say()[0] == "blue"


def test_a_keeper_that_is_told_to_stop_takes_what_it_runs_along(kept: Kept) -> None:
    _, number, _ = kept.say()
    kept.process.send_signal(signal.SIGTERM)
    assert kept.process.wait(timeout=20) == 0
    assert not Path(f"/proc/{number}").exists()
    with pytest.raises(NoService):
        find_service(kept.slots.root)
    with pytest.raises(ConnectionRefusedError):
        kept.say()
