"""The modules stand in the order readings flow, and none looks downstream."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

import urbanos_edge

PACKAGE = Path(urbanos_edge.__file__).parent
PACKAGES = {
    "quality": "quality formulas course neighbourhood watch corrections grading",
    "ingest": "sensors sources spool dead_letters inbox receipt group ingest requeue passwords"
    " reception registry reports",
    "mqtt": "broker subscription",
    "pulls": "fetching errands samples turns pulls",
    "store": "steps integrity revisions owed changed manifest store damage remembered identity"
    " flush drain compact restamp regrade",
    "hours": "hours buckets aggregates",
    "rollup": "window spots rollup segment recent",
    "sync": "central standing pace originals link carrier backlog compare sync",
    "alerts": "rules runs events outbox standing heard alerts delivery",
    "backup": "check targets backup restore",
    "cache": "shelf cache traffic answers purge",
    "tiles": "clusters mvt tiles layers",
    "basemap": "tileset osm basemap",
    "query": "rows query flagged colocation resolution history averaging shown explanation pipe"
    " export atlas",
    "discovery": "networks announcement nearby search discovery",
    "tls": "authority tls",
    "access": "proxies hosts visits refusals door sessions shares bodies access guests crowd",
    "health": "summary health metrics",
    "upkeep": "rounds upkeep vigil amends past",
    "demo": "fleet reporting",
    "server": "protocol systemd server",
    "deploy": "signature slots staging keeper service comparison rehearsal lookout cutover",
}
"""What is in a package, in the order it is used."""
STAGES = (
    *("errors", "clock", "progress", "grid", "reading", "units", "names", "batch"),
    *("aqi", "schemas", "slowness", "database", "quality"),
    *("archives", "feeds", "settings", "disk", "rights", "secrecy", "logbook", "memory"),
    *("adapters", "tokens", "allowance", "audit", "ingest", "mqtt", "pulls"),
    *("engine", "store", "hours", "expire", "rollup", "sync", "alerts", "backup"),
    *("discovery", "tls", "access", "zstd", "cache", "tiles"),
    *("query", "live", "news", "basemap", "uptime"),
    *("node", "own_atlas", "upkeep", "health", "demo", "control", "commands"),
    *("api", "ws", "app", "server", "centre", "replay", "deploy", "cli", "__main__"),
)
FLOW = [
    name
    for one in STAGES
    for name in ([f"{one}.{module}" for module in PACKAGES.get(one, "").split()] or [one])
]
"""Packages follow one another, and so do the modules within those that are listed."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "static")


def is_heading(path: Path) -> bool:
    """Whether it only says what a package is for."""
    return path.name == "__init__.py" and path.parent.name in {PACKAGE.name, *PACKAGES}


def name_of(parts: Sequence[str]) -> str:
    return ".".join(parts[:2] if parts[0] in PACKAGES else parts[:1])


def stage(path: Path) -> str:
    return name_of(path.relative_to(PACKAGE).with_suffix("").parts)


def imported_stages(path: Path) -> set[str]:
    names: set[str] = set()
    for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(item, ast.Import):
            names |= {alias.name for alias in item.names}
        elif isinstance(item, ast.ImportFrom) and item.module:
            names |= {f"{item.module}.{alias.name}" for alias in item.names}
    own = {name_of(name.split(".")[1:]) for name in names if name.startswith("urbanos_edge.")}
    return own - {"__version__"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_earlier_stages(path: Path) -> None:
    if is_heading(path):
        assert not imported_stages(path), "a package's heading imports nothing"
        return
    assert stage(path) in FLOW, f"{path.name} has no place in the flow"
    position = FLOW.index(stage(path))
    later = {name for name in imported_stages(path) if FLOW.index(name) > position}
    assert not later, f"{path.name} looks downstream at {sorted(later)}"


def test_every_stage_of_the_flow_exists() -> None:
    assert {stage(path) for path in modules() if not is_heading(path)} == set(FLOW)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_stays_below_500_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


def test_the_page_of_the_architecture_names_every_stage_in_its_order() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("| stage |")[2].partition("\n\n")[0]
    cells = [row.split(" | ")[1] for row in table.splitlines()[2:]]
    assert re.findall(r"`(\w+)/?`", " ".join(cells)) == [*STAGES[:-1]]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_heading_says_what_each_module_is_for(package: str) -> None:
    heading = (PACKAGE / package / "__init__.py").read_text(encoding="utf-8")
    for module in PACKAGES[package].split():
        assert f"`{module}`" in heading or module == package
