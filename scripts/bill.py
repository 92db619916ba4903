"""Writes what the wheel is made of: python -m scripts.bill

`sbom/urbanos-edge.cdx.json` is a bill of materials (CycloneDX 1.6), which the wheel carries; and
`docs/licences.md` a page of licences for people. Both are made of pyproject.toml, of the lock
files, and of what the installed packages say of themselves.
"""

from __future__ import annotations

import json
import re
import tomllib
import uuid
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageMetadata, metadata, requires
from pathlib import Path
from typing import Any, Final, NamedTuple

from packaging.requirements import Requirement

from urbanos_edge import __version__

ROOT: Final = Path(__file__).parents[1]
BILL: Final = ROOT / "sbom" / "urbanos-edge.cdx.json"
PAGE: Final = ROOT / "docs" / "licences.md"
_SPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:urbanos-edge:sbom")
_BY_HAND: Final = {
    "aiomqtt": "BSD-3-Clause",
    "apsw": "Zlib",
    "diskcache": "Apache-2.0",
    "rich-click": "MIT",
    "uvloop": "MIT OR Apache-2.0",
}
"""Of packages that say it in no word of SPDX, by the licence file that they carry."""
_CLASSIFIED: Final = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "ISC License (ISCL)": "ISC",
}
_HEAD: Final = """# Licences

UrbanOS Edge itself is under Apache-2.0 (`LICENSE`). It runs on the packages below; their own files
of licences come with them. Made by `.venv/bin/python -m scripts.bill`; the same list for machines
(CycloneDX) is `sbom/urbanos-edge.cdx.json`, and in the wheel below `*.dist-info/sboms/`.

psycopg and zeroconf are under the LGPL: they are installed beside the node, unchanged and
replaceable, as that licence asks. Land and borders are Natural Earth's, in the public domain.
"""


class Part(NamedTuple):
    """One package in one version."""

    kind: str
    """`pypi` or `npm`."""
    name: str
    version: str
    licence: str
    """An expression of SPDX."""

    @property
    def purl(self) -> str:
        return f"pkg:{self.kind}/{self.name.replace('@', '%40')}@{self.version}"


def parts() -> list[Part]:
    """Everything that runs: Python's packages on Linux, and what is built into the page."""
    return [*sorted(_python_parts()), *sorted(_page_parts())]


def bill(found: Iterable[Part]) -> str:
    """The bill of materials; the same parts make the same text."""
    components = [
        {
            "type": "library",
            "bom-ref": part.purl,
            "name": part.name,
            "version": part.version,
            "licenses": [{"expression": part.licence}],
            "purl": part.purl,
        }
        for part in found
    ]
    subject = {
        "type": "application",
        "bom-ref": "urbanos-edge",
        "name": "urbanos-edge",
        "version": __version__,
        "licenses": [{"expression": "Apache-2.0"}],
        "purl": f"pkg:pypi/urbanos-edge@{__version__}",
    }
    content: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
    }
    serial = uuid.uuid5(_SPACE, json.dumps(content))
    return json.dumps({"serialNumber": f"urn:uuid:{serial}", **content}, indent=1) + "\n"


def page(found: Iterable[Part]) -> str:
    """The page of licences."""
    tables = {"pypi": "Python packages", "npm": "Built into the page"}
    text, listed = _HEAD, list(found)
    for kind, heading in tables.items():
        text += f"\n## {heading}\n\n| package | version | licence |\n| --- | --- | --- |\n"
        chosen = [part for part in listed if part.kind == kind]
        text += "".join(f"| {part.name} | {part.version} | {part.licence} |\n" for part in chosen)
    return text


def _python_parts() -> Iterator[Part]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    needed: set[str] = set()
    for line in wanted:
        _follow(Requirement(line), needed)
    lock = (ROOT / "scripts" / "locks" / "runtime.txt").read_text(encoding="utf-8")
    for name, version in re.findall(r"^([a-z0-9.-]+)==(\S+)", lock, re.M):
        if name in needed:
            yield Part("pypi", name, version, _licence(name, metadata(name)))


def _follow(requirement: Requirement, needed: set[str]) -> None:
    """Add what a package needs on Linux, itself included."""
    name = re.sub(r"[-_.]+", "-", requirement.name).lower()
    if name in needed and not requirement.extras:
        return
    needed.add(name)
    for line in requires(name) or []:
        further = Requirement(line)
        extras = ("", *requirement.extras)
        if further.marker is None or any(further.marker.evaluate({"extra": one}) for one in extras):
            _follow(further, needed)


def _licence(name: str, said: PackageMetadata) -> str:
    if name in _BY_HAND:
        return _BY_HAND[name]
    for expression in said.get_all("License-Expression") or []:
        return str(expression)
    lines = said.get_all("Classifier") or []
    last = [line.rpartition(" :: ")[2] for line in lines if line.startswith("License")]
    known = [_CLASSIFIED[line] for line in last if line in _CLASSIFIED]
    if known:
        return " OR ".join(known)
    licence = " ".join(said.get_all("License") or [])
    if not re.fullmatch(r"[A-Za-z0-9.+-]+", licence):
        raise SystemExit(f"{name} does not say its licence in words of SPDX; see _BY_HAND")
    return licence


def _page_parts() -> Iterator[Part]:
    text = (ROOT / "web" / "package-lock.json").read_text(encoding="utf-8")
    for path, package in json.loads(text)["packages"].items():
        if path and not package.get("dev"):
            name = path.rpartition("node_modules/")[2]
            yield Part("npm", name, package["version"], package["license"].strip("()"))


if __name__ == "__main__":
    everything = parts()
    BILL.parent.mkdir(exist_ok=True)
    BILL.write_text(bill(everything), encoding="utf-8")
    PAGE.write_text(page(everything), encoding="utf-8")
