"""The long forms: `scripts/soak [name…]`. Each figure is one line of JSON on stdout."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.browser.standing import stand
from tests.central.offline import catch_up_after
from tests.conftest import DATA
from tests.faults import io_errors, saboteur
from tests.faults.box import live_in_a_box
from tests.faults.compacting import compact_under_readers
from tests.faults.cuts import cut_power
from tests.faults.disks import NEEDED, PATH, leaving_in_order
from tests.faults.figures import Figures
from tests.faults.full import fill_disk
from tests.faults.fuzzing import fuzz_at_length
from tests.faults.io_errors import break_engine, fail_syncs, lock_database
from tests.faults.kills import kill_at_each_step, kill_at_random
from tests.faults.slow import hold_up
from tests.faults.upgrades import install_broken, upgrade_again_and_again
from tests.faults.victim import READY_WITHIN_S, ROOT, patience
from tests.faults.years import age_a_year
from tests.http.aberdeen import live_through
from tests.tripled import taichung, tripled_in_turn

PAGE: Final = ROOT / "docs" / "reliability.md"
BEGIN: Final = "<!-- runs: written by scripts/soak --record -->"
END: Final = "<!-- end of runs -->"
_NOT_TABLED: Final = ("name", "answers", "complaints")

Run = Callable[[Path, int], Iterator[Figures]]


def _kill(folder: Path, count: int) -> Iterator[Figures]:
    yield kill_at_random(folder, kills=count)


def _steps(folder: Path, count: int) -> Iterator[Figures]:
    yield kill_at_each_step(folder, occurrences=range(1, count + 1))


def _powercut(folder: Path, count: int) -> Iterator[Figures]:
    yield cut_power(folder, cuts=count)


def _mutations(folder: Path, count: int) -> Iterator[Figures]:
    for mutation in saboteur.MUTATIONS:
        yield cut_power(folder, cuts=count, fault=f"without:{mutation}")


def _diskfull(folder: Path, count: int) -> Iterator[Figures]:
    for number in range(count):
        left_mib = (0, 16, 40)[number % 3]
        figures = fill_disk(
            folder / str(number), left_mib, full_for_s=20, fills_within_s=240, seed=40 + number
        )
        figures.name += f" {left_mib} MiB left to readings"
        yield figures


def _ioerror(folder: Path, count: int) -> Iterator[Figures]:
    for name, which in (("always", io_errors.ALWAYS), ("every third", io_errors.EVERY_THIRD)):
        figures = fail_syncs(folder / name, which, for_s=5, cuts=count)
        figures.name += f" {name}"
        yield figures


def _busy(folder: Path, count: int) -> Iterator[Figures]:
    for number in range(count):
        yield lock_database(folder / str(number), for_s=8, seed=60 + number)


def _fatal(folder: Path, count: int) -> Iterator[Figures]:
    for number in range(count):
        yield break_engine(folder / str(number), seed=70 + number)


def _compaction(folder: Path, count: int) -> Iterator[Figures]:
    yield compact_under_readers(folder, for_s=60 * count, at_every_step=True)


def _year(folder: Path, count: int) -> Iterator[Figures]:
    yield age_a_year(folder, readings_a_day=count)


def _sync(folder: Path, count: int) -> Iterator[Figures]:
    yield from catch_up_after(folder, days=count)


def _fuzz(folder: Path, count: int) -> Iterator[Figures]:
    yield fuzz_at_length(folder, at_least=count)


def _deploy(folder: Path, count: int) -> Iterator[Figures]:
    yield upgrade_again_and_again(folder / "good", upgrades=count)
    yield install_broken(folder / "broken")


def _box(folder: Path, count: int) -> Iterator[Figures]:
    yield live_in_a_box(folder, minutes=count)


def _slow(folder: Path, count: int) -> Iterator[Figures]:
    yield hold_up(folder, rounds=count)


def _kiosk(folder: Path, count: int) -> Iterator[Figures]:
    yield stand(folder, minutes=count, weighed_every_s=0.6 * count, restarts=3)


def _aberdeen(folder: Path, count: int) -> Iterator[Figures]:
    if _has_data():
        yield from live_through(folder, DATA, every=count)


def _taichung(_: Path, count: int) -> Iterator[Figures]:
    if _has_data():
        yield tripled_in_turn(taichung(DATA), range(count))


def _has_data() -> bool:
    if not DATA.is_dir():
        _say(f"no test data at {DATA}; set URBANOS_TEST_DATA to where it lies", to_stderr=True)
    return DATA.is_dir()


RUNS: Final[dict[str, tuple[Run, int, str]]] = {
    "kill": (_kill, 200, "kill -9 at random moments under load"),
    "steps": (_steps, 3, "kill -9 at every step of a flush, the first N times it is reached"),
    "powercut": (_powercut, 100, "the disk of one moment, and a node started on it"),
    "mutations": (_mutations, 20, "the same with one sync removed: readings must be lost"),
    "diskfull": (_diskfull, 3, "a 64 MiB disk filled and freed"),
    "ioerror": (_ioerror, 5, "syncs that return EIO for 5 s, then a power cut"),
    "busy": (_busy, 2, "somebody else holds SQLite's write lock for 8 s"),
    "fatal": (_fatal, 2, "DuckDB fails for good in the middle of a flush"),
    "compaction": (_compaction, 10, "kill -9 at each step under 8 readers, for N minutes"),
    "sync": (_sync, 30, "N days without the centre, a line cut 50 times, then a thin one"),
    "deploy": (_deploy, 20, "N upgrades under load, then four releases that are no good"),
    "box": (_box, 100, "N minutes of a city's readings and kiosks: nothing may grow"),
    "slow": (_slow, 10, "500 slow sockets, and how long all others wait, N times"),
    "kiosk": (_kiosk, 100, "a screen in Chromium for N minutes at thrice the usual updates"),
    "fuzz": (_fuzz, 50_000, "N requests made of the OpenAPI document, and frames"),
    "aberdeen": (_aberdeen, 1, "every N-th row of an archive through the airRohr door"),
    "taichung": (_taichung, 123, "one of 123 sensors tripled, N times another one"),
    "year": (_year, 1_000_000, "a start on a year of N readings a day; 5 GB of disk"),
}


def main() -> int:
    """Run what is named, or everything; 1 when anything was lost that should not be."""
    options = _options()
    failed = False
    with leaving_in_order(), tempfile.TemporaryDirectory(prefix="urbanos-soak-") as folder:
        for name in options.names or RUNS:
            run, count, _ = RUNS[name]
            (Path(folder) / name).mkdir()
            for figures in run(Path(folder) / name, options.count or count):
                _say(json.dumps(figures.as_json()))
                failed |= not _is_as_promised(figures)
                if options.record:
                    _record(name, options.count, figures)
    return int(failed)


def _is_as_promised(figures: Figures) -> bool:
    if "without:" in figures.name:
        return bool(figures.lost)
    for complaint in figures.complaints[:5]:
        _say(complaint, to_stderr=True)
    return not figures.complaints and max(figures.ready_s, default=0) <= READY_WITHIN_S * patience()


def _record(name: str, count: int | None, figures: Figures) -> None:
    """Put the figures into the table, in the place of the same run's earlier ones."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    table, _, tail = rest.partition(END)
    row = f"| {figures.name} |"
    lines = [line for line in table.strip().splitlines() if not line.startswith(row)]
    command = f"scripts/soak {name}" + (f" --count {count}" if count else "")
    lines.append(f"{row} `{command}` | {_spelled_out(figures.as_json())} |")
    PAGE.write_text(f"{head}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{tail}", encoding="utf-8")


def _spelled_out(tally: dict[str, Any]) -> str:
    shown = {name: value for name, value in tally.items() if name not in _NOT_TABLED}
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in shown.items())


def _say(line: str, to_stderr: bool = False) -> None:
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(line + "\n")
    stream.flush()


def _options() -> argparse.Namespace:
    listing = "\n".join(f"  {name:<10} {about} ({n:,})" for name, (_, n, about) in RUNS.items())
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="The long fault runs; everything when none is named.",
        epilog=f"runs, and how often each does it, or its N:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="name", help="run only these")
    parser.add_argument("--count", type=int, help="another number than the one in brackets")
    parser.add_argument("--record", action="store_true", help="put the figures into the docs")
    options = parser.parse_args()
    missing = [tool for tool in (*NEEDED, "strace") if shutil.which(tool, path=PATH) is None]
    if missing:
        parser.error(f"{', '.join(missing)} is missing: install strace, e2fsprogs and util-linux")
    if os.geteuid() != 0:
        parser.error("disks are mounted and processes traced: run it as root")
    unknown = [name for name in options.names if name not in RUNS]
    if unknown:
        parser.error(f"there is no run '{unknown[0]}'")
    return options


if __name__ == "__main__":
    sys.exit(main())
