"""The results as a table with plots: `scripts/bench --report` writes them into the page."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.tools import ROOT, tipg_python

PAGE: Final = ROOT / "docs" / "performance.md"
RESULTS: Final = ROOT / "bench" / "results"
BEGIN: Final = "<!-- figures: written by scripts/bench --report -->"
END: Final = "<!-- end of figures -->"
ORDER: Final = (
    *("ingest", "tiles", "grids", "clusters", "fanout", "reads", "history", "export"),
    *("startup", "growth", "sync", "centre", "page", "servers"),
)
PLOTS: Final = {
    "ratios": "How many times better than the peer, with the floors",
    "zooms": "Uncached tiles and rows by zoom, beside the peers",
}
_SIGN: Final = {True: "≥", False: "≤"}


def write() -> None:
    """Put the table of all results into the page, and draw the plots beside it."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in _paths()]
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    lines = [BEGIN, "", *_machine(found), "", *_table(found), "", *_plots(), "", END]
    PAGE.write_text(head + "\n".join(lines) + tail, encoding="utf-8")
    subprocess.run([tipg_python(), "-m", "bench.plots"], check=True, cwd=ROOT)


def _paths() -> list[Path]:
    return [path for name in ORDER if (path := RESULTS / f"{name}.json").exists()]


def _machine(found: list[dict[str, Any]]) -> Iterator[str]:
    facts = found[0]["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    days = sorted({one["at"][:10] for one in found})
    yield (
        f"{' and '.join(days)}, {facts['cores']} cores ({facts['processor']}),"
        f" {facts['memory_mib'] // 1024} GiB, Linux {facts['kernel']}, Python {facts['python']}."
    )
    yield f"{versions}."


def _table(found: list[dict[str, Any]]) -> Iterator[str]:
    yield "| figure | node | peer | ratio (least-most) | floor | |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in found:
        for figure in one["figures"]:
            yield _row(one["bench"], figure)


def _row(bench: str, figure: dict[str, Any]) -> str:
    if "missing" in figure:
        return f"| {bench}: {figure['name']} | not measured: {_plain(figure['missing'])} | | | | |"
    cells = (
        f"{bench}: {figure['name']}",
        f"{_number(figure['ours']['median'])} {figure['unit']}",
        _peer(figure),
        _ratio(figure),
        "; ".join(_floor(figure, floor) for floor in figure.get("floors", [])),
        {True: "met", False: "**missed**", None: ""}[figure.get("met")],
    )
    return f"| {' | '.join(cells)} |"


def _peer(figure: dict[str, Any]) -> str:
    if "theirs" not in figure:
        return ""
    return f"{_number(figure['theirs']['median'])} ({figure['peer']})"


def _ratio(figure: dict[str, Any]) -> str:
    if "ratio" not in figure:
        return ""
    ratio = figure["ratio"]
    spread = f"{_number(ratio['min'])}-{_number(ratio['max'])}"
    return f"{_number(ratio['median'])} ({spread})"


def _floor(figure: dict[str, Any], floor: dict[str, Any]) -> str:
    """The limit, and the value held against it where no other column shows it."""
    what = floor["of"].split(".")
    limit = f"{_SIGN[floor['at_least']]} {_number(floor['limit'])}"
    if what[0] == "ratio":
        aim = f", aim {_number(floor['aim'])}" if floor["aim"] else ""
        return f"ratio {limit}{aim}"
    value = figure
    for step in what:
        value = value[step]
    name = figure["unit"] if what[0] == "ours" else " ".join(what[1:]).replace("_", " ")
    return f"{name} {_number(value)} {limit}"


def _number(value: Any) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:200]


def _plots() -> Iterator[str]:
    for name, about in PLOTS.items():
        yield f"![{about}](plots/{name}.svg)"
