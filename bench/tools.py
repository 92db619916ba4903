"""Where the programs of the peers lie, and which are missing."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PEERS: Final = ROOT / ".cache" / "bench-venv"
"""The environment of what is only needed here; `scripts/bench` makes it."""
TIPG_PYTHON: Final = PEERS / "bin" / "python"
_DEBIAN: Final = {
    "postgres": "postgresql-15-postgis-3",
    "influxd": "influxdb",
    "nginx": "nginx-light",
    "wrk": "wrk",
    "chromium": "chromium",
}


class PeerMissing(Exception):
    """A program that a benchmark needs is not installed; the message says how to get it."""


def postgres_binary(name: str) -> Path:
    """A program of the newest PostgreSQL that Debian's packages installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parts[-2])
    return (folders[-1] if folders else Path("/usr/lib/postgresql/15/bin")) / name


def program(name: str) -> str:
    """The path of a peer's program.

    Raises:
        PeerMissing: it is not there.
    """
    if name == "postgres":
        found = str(postgres_binary(name)) if postgres_binary(name).exists() else None
    else:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        package = _DEBIAN[name]
        raise PeerMissing(f"{name} is missing: apt-get install --no-install-recommends {package}")
    return found


def tipg_python() -> str:
    """The interpreter of the environment that holds tipg.

    Raises:
        PeerMissing: the environment was not made.
    """
    if not TIPG_PYTHON.exists():
        raise PeerMissing("tipg is missing: start the benchmarks with scripts/bench")
    return str(TIPG_PYTHON)


def peers_packages() -> str:
    """The folder of that environment's packages, for the interpreter that runs the node.

    Raises:
        PeerMissing: the environment was not made.
    """
    tipg_python()
    return sysconfig.get_path("platlib", "venv", {"base": str(PEERS), "platbase": str(PEERS)})
