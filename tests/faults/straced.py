"""strace on a running node: watch its calls, or make some of them fail."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import wait_until


def skip_without_strace() -> None:
    """Skip the test where strace is missing or may not look at other processes."""
    if shutil.which("strace") is None:
        pytest.skip("strace is missing (apt-get install strace)")
    if os.geteuid() != 0:
        pytest.skip("attaching strace to a running node takes root")


@contextmanager
def strace(pid: int, output: Path, *options: str) -> Iterator[None]:
    """Attach to all threads of a process; let go of it when the block ends."""
    errors = output.with_suffix(".err")
    with errors.open("wb") as stream:
        tracer = subprocess.Popen(
            ["strace", "-f", "-p", str(pid), "-o", str(output), *options],
            stderr=stream,
            stdin=subprocess.DEVNULL,
        )
    try:
        wait_until(lambda: b"attached" in errors.read_bytes(), 10, errors.read_text)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(timeout=30)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call: what was named in it, and the lines where it began and returned."""

    name: str
    arguments: str
    began: int
    returned: int


_WHOLE = re.compile(r"^(\d+)\s+(\w+)\((.*)\)\s+= (-?\d+)")
_BEGUN = re.compile(r"^(\d+)\s+(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+)\s+<\.\.\. (\w+) resumed>(.*)\)\s+= (-?\d+)")


def parse(output: Path) -> list[Call]:
    """The calls that succeeded, in the order in which they returned."""
    calls: list[Call] = []
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(output.read_text(errors="replace").splitlines()):
        if whole := _WHOLE.match(line):
            _, name, arguments, result = whole.groups()
            began = number
        elif unfinished := _BEGUN.match(line):
            begun[unfinished[1]] = number, unfinished[3]
            continue
        elif resumed := _RESUMED.match(line):
            thread, name, rest, result = resumed.groups()
            if thread not in begun:
                continue
            began, first = begun.pop(thread)
            arguments = first + rest
        else:
            continue
        if int(result) >= 0:
            calls.append(Call(name, arguments, began, number))
    return calls
