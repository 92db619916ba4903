"""`scripts/bench [name…]`: one line of JSON per figure, and a file of results per name."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import msgspec

from bench.context import Bench
from bench.figures import Figure
from bench.machine import machine
from bench.processes import NotStarted
from bench.tools import PeerMissing

RESULTS: Final = Path(__file__).parent / "results"
ROUNDS: Final = 5
QUICK_ROUNDS: Final = 2
BENCHES: Final = {
    "ingest": "writing beside InfluxDB: single readings, batches, a minute of them, overload",
    "tiles": "cached tiles beside nginx, uncached ones beside tipg, drawing beside ST_AsMVT",
    "grids": "rows of a grid, cached beside nginx and uncached beside PostGIS",
    "clusters": "clusters of 10 million readings beside PostGIS",
    "fanout": "a change reaching 1,000 WebSockets with 50 stalled ones among them",
    "reads": "reading while 20,000 readings a second arrive",
    "history": "a sensor's hours beside SQL on the raw table",
    "export": "a day of 10 million readings as Parquet and CSV beside COPY",
    "startup": "time to ready and memory: 10 million readings, empty, demonstration",
    "growth": "a tile at 0.1, 1 and 10 million readings a day",
    "sync": "two days of 7,000 sensors brought to an empty centre, beside COPY",
    "centre": "what a large centre takes in, compares and answers, and what its rows weigh",
    "page": "the main thread of the page while its map of 7,000 sensors is dragged",
    "servers": "the node's own protocols beside stock Uvicorn and Granian",
}


def main() -> int:
    """Run what is named, or everything; 1 when a figure could not be taken."""
    options = _options()
    if options.list:
        for name, about in BENCHES.items():
            _say(f"{name:<10} {about}")
        return 0
    if options.report:
        importlib.import_module("bench.report").write()
        return 0
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    failed = False
    with _leaving_in_order(), ExitStack() as stack:
        rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
        bench = Bench(stack, rounds=rounds, quick=options.quick, keep=options.keep)
        for name in options.names or BENCHES:
            figures, began_s = [], time.time()
            facts = machine()
            for figure in _figures(bench, name):
                figures.append(figure.judge())
                failed |= figure.missing is not None
                _say(msgspec.json.encode(figure).decode())
            facts["took_s"] = round(time.time() - began_s)
            if not options.quick and any(figure.missing is None for figure in figures):
                _keep(name, facts, rounds, figures)
    return int(failed)


def _figures(bench: Bench, name: str) -> Iterator[Figure]:
    """The figures of one benchmark; what it cannot measure is a figure that says why."""
    try:
        yield from importlib.import_module(f"bench.{name}").run(bench)
    except (PeerMissing, NotStarted, RuntimeError, OSError) as error:
        if "Query interrupted" in str(error):  # DuckDB's word for a signal during a query
            raise KeyboardInterrupt from error
        reason = f"{type(error).__name__}: {error}"[:2000]
        yield Figure(bench=name, name=name, unit="", better="higher", missing=reason)


def _keep(name: str, facts: dict[str, Any], rounds: int, figures: list[Figure]) -> None:
    RESULTS.mkdir(exist_ok=True)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    found = {"bench": name, "at": at, "machine": facts, "rounds": rounds}
    found["figures"] = [msgspec.to_builtins(figure) for figure in figures]
    text = json.dumps(found, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


@contextlib.contextmanager
def _leaving_in_order() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that every process started is ended."""
    former = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _leave(_: int, __: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    listing = "\n".join(f"  {name:<10} {about}" for name, about in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Benchmarks beside the node's peers, in alternating rounds; all of them when"
        " none is named.",
        epilog=f"benchmarks:\n{listing}\n\nresults: bench/results/<name>.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="name", help="run only these")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    parser.add_argument("--quick", action="store_true", help="short and small; keeps no results")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds of each ({ROUNDS})")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep data and PostgreSQL there for the next run"
    )
    parser.add_argument(
        "--report", action="store_true", help="write the results into docs/performance.md"
    )
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHES]
    if unknown:
        parser.error(f"there is no benchmark '{unknown[0]}'")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
