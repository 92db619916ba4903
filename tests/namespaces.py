"""Networks of one's own: namespaces of the kernel that stand for machines, joined by cables."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio

_CLONE_NEWNET = 0x40000000
T = TypeVar("T")


class Machine:
    """A namespace with its own interfaces; cables to others are laid by `connect`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ip(self, *words: str) -> None:
        """`ip` as it would be typed there."""
        subprocess.run(["ip", "-n", self.name, *words], check=True, capture_output=True)

    def start(self, words: list[str], **more: Any) -> subprocess.Popen[str]:
        """Start a program there; its process id is the program's own."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *words], text=True, **more)

    def do(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine there, in a thread whose sockets are all of that network."""

        def run() -> T:
            with Path("/run/netns", self.name).open() as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            return anyio.run(work)

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(run).result()


@contextmanager
def machine(name: str) -> Iterator[Machine]:
    """A machine without any cable, gone at the end with all that is in it."""
    full = f"urbanos-{os.getpid()}-{name}"
    subprocess.run(["ip", "netns", "add", full], check=True, capture_output=True)
    try:
        made = Machine(full)
        made.ip("link", "set", "lo", "up")
        yield made
    finally:
        subprocess.run(["ip", "netns", "delete", full], check=True)


def connect(one: Machine, port: str, other: Machine, other_port: str) -> None:
    """Lay a cable between two machines; both ends are plugged in, without addresses."""
    end = ["peer", "name", other_port, "netns", other.name]
    one.ip("link", "add", port, "type", "veth", *end)
    one.ip("link", "set", port, "up")
    other.ip("link", "set", other_port, "up")


def can_make_machines() -> bool:
    """Whether this process may: root may, where the kernel lets it."""
    try:
        with machine("probe"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
