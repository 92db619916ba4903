"""kill -9: at random moments under load, during the start, and at every step of the protocol."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.faults.figures import Figures
from tests.faults.load import Load
from tests.faults.saboteur import STEPS
from tests.faults.victim import Victim, victim

KILLS_PER_DIRECTORY: Final = 25
"""After as many a new directory is begun, so that the comparisons stay quick."""
IN_ITS_START: Final = 0.15
"""This part of the random kills hits a node that is not ready yet."""
STEP_WITHIN_S: Final = 30.0
FLUSH_INTERVAL_S: Final = 0.25


def kill_at_random(folder: Path, kills: int, seed: int = 1) -> Figures:
    """Kill, start, compare, as often as wanted."""
    figures = Figures("kill")
    for first in range(0, kills, KILLS_PER_DIRECTORY):
        moments = random.Random(seed + first)
        data_dir, log = folder / f"random-{first}", folder / f"random-{first}.log"
        with victim(data_dir, log) as node:
            node.start(flush_interval_s=FLUSH_INTERVAL_S)
            load = Load(node.url, node.token(), seed=seed + first, sizes=(1, 40))
            with load.running():
                for _ in range(min(KILLS_PER_DIRECTORY, kills - first)):
                    _kill_somewhere(node, moments)
                    _check(node, load, figures)
            figures.add_load(load)
            figures.ready_s += node.ready_s
    return figures


def kill_at_each_step(folder: Path, occurrences: Sequence[int] = (1,), seed: int = 2) -> Figures:
    """The node kills itself at every named step, the n-th time that it gets there."""
    figures = Figures("kill-steps")
    order = folder / "order"
    fault = f"die-when:{order}"
    with victim(folder / "steps", folder / "steps.log") as node:
        node.start(fault, flush_interval_s=FLUSH_INTERVAL_S)
        load = Load(node.url, node.token(), seed=seed, sizes=(1, 40))
        with load.running():
            for step, number in itertools.product(STEPS, occurrences):
                _kill_at(node, order, f"{step} {number}")
                node.start(fault, flush_interval_s=FLUSH_INTERVAL_S)
                _check(node, load, figures)
        figures.add_load(load)
        figures.ready_s += node.ready_s
    figures.more = {"steps": len(STEPS)}
    return figures


def _kill_at(node: Victim, order: Path, when: str) -> None:
    """Give the order to die at a step, and see it obeyed."""
    whole = order.with_suffix(".whole")
    whole.write_text(when, encoding="utf-8")
    whole.rename(order)
    code = node.wait_for_end(STEP_WITHIN_S)
    order.unlink()
    assert code == -9, f"{when}: ended with {code}\n{node.log()}"


def _kill_somewhere(node: Victim, moments: random.Random) -> None:
    """Kill it after a while under load, sometimes again while it starts, and start it."""
    time.sleep(moments.uniform(0.05, 1.2))
    node.kill()
    if moments.random() < IN_ITS_START:
        node.spawn(flush_interval_s=FLUSH_INTERVAL_S)
        time.sleep(moments.uniform(0.1, 1.0))
        node.kill()
    node.start(flush_interval_s=FLUSH_INTERVAL_S)


def _check(node: Victim, load: Load, figures: Figures) -> None:
    load.pause()
    figures.judge(node.verdict(load.ledger.promise()))
    load.resume()
