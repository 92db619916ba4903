"""Compaction killed at each of its steps, over and over, while eight readers look on.

`python -m tests.faults.compacting DIR STEP OCCURRENCE` is the process that is killed: its readers
compare what they read with the first sums ever read from the directory, and it ends with 3 when
one of them differs.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.faults.figures import Figures
from tests.faults.saboteur import STEPS
from tests.faults.years import spread_batch
from urbanos_edge.clock import DAY_US
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.settings import Settings
from urbanos_edge.store import compact, steps

READERS: Final = 8
FLUSHES: Final = 70
READINGS: Final = 1_000
"""In each flush."""
SENSORS: Final = 200
DIFFERENT: Final = 3
OF_COMPACTION: Final = tuple(step for step in STEPS if step != "files written")
"""The steps that it has in common with a flush, in their order."""
_SUMS: Final = "count(*), sum(hash(r)), round(sum(pm25), 3), count(DISTINCT (sensor_id, timestamp))"
"""Of every column of every reading, whatever the order."""


def compact_under_readers(
    folder: Path, for_s: float, *, at_every_step: bool = False, flushes: int = FLUSHES
) -> Figures:
    """Kill it at every step in turn until the time is over, but at each once if so demanded."""
    figures = Figures("compaction")
    folder.mkdir(parents=True, exist_ok=True)
    _prepare(folder / "full", flushes)
    at, until_s = folder / "at", time.monotonic() + for_s
    kills: dict[str, int] = dict.fromkeys(OF_COMPACTION, 0)
    for number in itertools.count():
        if time.monotonic() > until_s and (number >= len(OF_COMPACTION) or not at_every_step):
            break
        step = OF_COMPACTION[number % len(OF_COMPACTION)]
        occurrence = number // len(OF_COMPACTION) % 3 + 1
        shutil.rmtree(at, ignore_errors=True)
        shutil.copytree(folder / "full", at)
        kills[step] += _run(at, step, occurrence) == -signal.SIGKILL
        ended = _run(at, "none", 1)  # what is left half done is finished
        figures.rounds += 1
        if ended != 0:
            figures.wrong += ended == DIFFERENT
            figures.complaints.append(f"after a kill at '{step}': ended with {ended}")
    figures.more |= {"kills": sum(kills.values()), "reads": _reads(folder)}
    figures.more["steps_killed_at"] = sum(1 for times in kills.values() if times)
    if at_every_step:
        figures.complaints += [f"never killed at '{step}'" for step in kills if not kills[step]]
    return figures


def _prepare(data_dir: Path, flushes: int) -> None:
    """A day that is over, in many small files."""
    data_dir.mkdir()
    with closing(Node(Settings(), data_dir)) as node:
        now_us = node.clock.now_us()
        begin_us = now_us - now_us % DAY_US - 2 * DAY_US
        whole = spread_batch(SENSORS, flushes * READINGS, begin_us, begin_us + DAY_US)
        for number in range(flushes):
            rows = slice(number * READINGS, (number + 1) * READINGS)
            part = {name: column[rows] for name, column in whole.columns.items()}
            node.mover.store(type(whole)(whole.labels, part), lambda _: None)
        (data_dir.parent / "sums").write_bytes(msgspec.json.encode(_sums(node)))


def _run(data_dir: Path, step: str, occurrence: int) -> int:
    words = [sys.executable, "-m", "tests.faults.compacting", str(data_dir), step, str(occurrence)]
    ended = subprocess.run(words, cwd=Path(__file__).parents[2], timeout=120)
    return ended.returncode


def _reads(folder: Path) -> int:
    return (folder / "reads").stat().st_size


def _sums(node: Node) -> list[Any]:
    with node.store.lease(lambda _: True) as paths, node.engine.cursor() as cursor:
        query = f"SELECT {_SUMS} FROM read_parquet(?, hive_partitioning = false) AS r"
        row: Any = cursor.execute(query, [paths]).fetchone()
    return [str(value) for value in row]


def _watch(step: str, occurrence: int) -> None:
    left = [occurrence]

    def watch(reached: str) -> None:
        left[0] -= reached == step
        if left[0] == 0 and reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.watcher = watch


def _child(data_dir: Path, step: str, occurrence: int) -> int:
    expected = msgspec.json.decode((data_dir.parent / "sums").read_bytes())
    compact.PIECE_ROWS = int(expected[0]) // 4  # type: ignore[misc]
    different: list[Any] = []
    done = threading.Event()
    with (
        closing(Node(Settings(), data_dir)) as node,
        (data_dir.parent / "reads").open("ab", buffering=0) as reads,
    ):

        def read() -> None:
            while not done.is_set():
                found = _sums(node)
                reads.write(b".")  # what was read before a kill counts, too
                if found != expected:
                    different.append(found)

        readers = [threading.Thread(target=read) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        _watch(step, occurrence)
        try:
            node.compactor.finish_all(ignore_progress)
        finally:
            done.set()
            for reader in readers:
                reader.join()
        if _sums(node) != expected:
            different.append(_sums(node))
    return DIFFERENT if different else 0


if __name__ == "__main__":
    sys.exit(_child(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
