"""Looks the parts of the wheel up in a copy of an advisory database that lies here.

python -m scripts.advisories FOLDER reads every `*.json` below the folder as an entry of OSV, the
form in which the databases of Python's packages and of GitHub are published, and exits with 1 when
a part is known to be vulnerable. Nothing is asked over the network.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from scripts.bill import Part, parts

_ECOSYSTEMS: Final = {"PyPI": "pypi", "npm": "npm"}


def findings(found: Iterable[Part], entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each part that an entry names, if it was not withdrawn."""
    by_name = {(part.kind, _plain(part.name)): part for part in found}
    for entry in entries:
        if entry.get("withdrawn"):
            continue
        for affected in entry.get("affected", []):
            package = affected.get("package", {})
            kind = _ECOSYSTEMS.get(package.get("ecosystem", ""))
            part = by_name.get((kind or "", _plain(package.get("name", ""))))
            if part is not None and _is_affected(part.version, affected):
                said = f"{part.name} {part.version}: {entry['id']} {entry.get('summary', '')}"
                yield said.strip()


def entries_below(folder: Path) -> Iterator[Mapping[str, Any]]:
    for path in sorted(folder.rglob("*.json")):
        entry = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(entry, dict) and "affected" in entry:
            yield entry


def _is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    """As OSV has it: listed by itself, or within a range; a range may have several parts."""
    if version in affected.get("versions", []):
        return True
    ranges = [one for one in affected.get("ranges", []) if one.get("type") != "GIT"]
    return any(_is_within(Version(version), one["events"]) for one in ranges)


def _is_within(version: Version, events: Iterable[Mapping[str, str]]) -> bool:
    is_within = False
    for event in events:
        for what, limit in event.items():
            try:
                bound = Version(limit)
            except InvalidVersion:
                continue
            if what == "introduced" and version >= bound:
                is_within = True
            elif (what == "fixed" and version >= bound) or (
                what == "last_affected" and version > bound
            ):
                is_within = False
    return is_within


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m scripts.advisories FOLDER")
    lines = list(findings(parts(), entries_below(Path(sys.argv[1]))))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.exit(1 if lines else 0)
