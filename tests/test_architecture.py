"""The modules stand in the order readings flow, and none looks downstream."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import urbanos_edge

PACKAGE = Path(urbanos_edge.__file__).parent
FLOW = (
    *("errors", "clock", "progress", "grid", "reading", "units", "names"),
    *("batch", "aqi", "quality", "formulas", "course", "neighbourhood", "watch", "grading"),
    *("archives", "feeds", "settings", "disk", "secrecy", "logbook", "slowness"),
    *(
        "adapters",
        "schemas",
        "database",
        "central",
        "tokens",
        "allowance",
        "audit",
        "sensors",
        "spool",
        "dead_letters",
    ),
    *(
        "corrections",
        "sources",
        "inbox",
        "receipt",
        "group",
        "ingest",
        "reception",
        "registry",
        "reports",
    ),
    *("broker", "subscription", "fetching", "errands", "samples", "turns", "pulls"),
    *(
        "steps",
        "engine",
        "integrity",
        "revisions",
        "owed",
        "changed",
        "manifest",
        "store",
        "damage",
        "remembered",
        "identity",
        "flush",
    ),
    *(
        "compact",
        "hours",
        "buckets",
        "aggregates",
        "sync",
        "expire",
        "restamp",
        "regrade",
        "drain",
        "window",
        "spots",
        "rollup",
        "segment",
        "recent",
    ),
    *("rules", "runs", "events", "outbox", "standing", "heard", "alerts"),
    *("check", "targets", "backup", "restore"),
    *(
        "rows",
        "query",
        "flagged",
        "colocation",
        "resolution",
        "history",
        "averaging",
        "shown",
        "explanation",
        "pipe",
        "export",
        "clusters",
        "mvt",
        "tiles",
        "layers",
        "tileset",
        "osm",
        "basemap",
        "live",
        "networks",
        "announcement",
        "authority",
        "tls",
        "nearby",
        "search",
        "discovery",
    ),
    *("proxies", "hosts", "visits", "door", "sessions", "access", "guests", "crowd"),
    *("shelf", "cache", "traffic", "answers", "atlas", "purge", "delivery", "uptime"),
    *(
        "node",
        "own_atlas",
        "rounds",
        "summary",
        "health",
        "metrics",
        "upkeep",
        "vigil",
        "amends",
        "past",
        "demo",
        "fleet",
        "control",
        "commands",
    ),
    *("api", "ws", "app", "protocol", "systemd", "server", "centre"),
    "replay",
    *("signature", "slots", "staging", "keeper", "service"),
    *("comparison", "rehearsal", "lookout", "cutover"),
    *("cli", "__main__"),
)


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "static")


def stage(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_stages(path: Path) -> set[str]:
    names: set[str] = set()
    for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(item, ast.Import):
            names |= {alias.name for alias in item.names}
        elif isinstance(item, ast.ImportFrom) and item.module == "urbanos_edge":
            names |= {f"urbanos_edge.{alias.name}" for alias in item.names}
        elif isinstance(item, ast.ImportFrom) and item.module:
            names.add(item.module)
    own = {name.split(".")[1] for name in names if name.startswith("urbanos_edge.")}
    return own - {"__version__"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_earlier_stages(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return
    assert stage(path) in FLOW, f"{path.name} has no place in the flow"
    position = FLOW.index(stage(path))
    later = {name for name in imported_stages(path) if FLOW.index(name) > position}
    assert not later, f"{path.name} looks downstream at {sorted(later)}"


def test_every_stage_of_the_flow_exists() -> None:
    assert {stage(path) for path in modules()} - {"__init__"} == set(FLOW)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_stays_below_500_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500
