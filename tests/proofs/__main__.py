"""Proves on a bare Debian 12 that the node can be tried, tested, installed and lives there.

Only the standard library; scripts/prove brings debootstrap and systemd-nspawn.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.proofs.container import prove_container
from tests.proofs.installation import prove_install
from tests.proofs.newcomer import prove_newcomer, prove_tests
from tests.proofs.trees import ROOT
from tests.proofs.wheelhouse import prove_wheelhouse

PAGE: Final = ROOT / "docs" / "reliability.md"
FIGURES: Final = re.compile(r"(<!-- box: .*?-->\n).*?(<!-- end of box -->)", re.S)
PROOFS: Final[dict[str, tuple[Callable[[Path], dict[str, Any]], str]]] = {
    "newcomer": (prove_newcomer, "scripts/serve --demo in a fresh clone"),
    "tests": (prove_tests, "scripts/test in a fresh clone"),
    "install": (prove_install, "scripts/install, under systemd"),
    "wheelhouse": (prove_wheelhouse, "wheel and source archive, without a network"),
    "container": (prove_container, "what the Containerfile says"),
}


def main() -> None:
    given = _options()
    if os.geteuid() != 0:
        sys.exit("prove: run this as root")
    given.folder.mkdir(parents=True, exist_ok=True)
    found = PROOFS[given.proof][0](given.folder)
    print(json.dumps({"name": given.proof, **found}))  # noqa: T201
    if given.record:
        record(given.proof, found)


def record(name: str, found: dict[str, Any]) -> None:
    """Put a row into the table of docs/reliability.md, in the place of the one it had."""
    figures = ", ".join(f"{key} {value}" for key, value in found.items())
    row = f"| {name} | `scripts/prove {name}` | {figures} |\n"

    def changed(match: re.Match[str]) -> str:
        rows = match[0][len(match[1]) : -len(match[2])].splitlines(keepends=True)
        kept = [line for line in rows if not line.startswith(f"| {name} |")]
        return match[1] + "".join(sorted([*kept, row])) + match[2]

    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(FIGURES.sub(changed, text), encoding="utf-8")


def _options() -> argparse.Namespace:
    listing = "\n".join(f"  {name:<10} {about}" for name, (_, about) in PROOFS.items())
    parser = argparse.ArgumentParser(
        prog="scripts/prove",
        description="Prove something on a bare Debian 12, as root.",
        epilog=f"proofs:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("proof", choices=PROOFS, metavar="proof")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("/var/tmp/urbanos-proof"),
        help="where the Debians are made, and stay  [default: %(default)s]",
    )
    parser.add_argument("--record", action="store_true", help="put the figures into the docs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
