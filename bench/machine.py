"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any, Final

from bench.tools import PeerMissing, peers_packages, postgres_binary

_PACKAGES: Final = ("urbanos-edge", "litestar", "uvicorn", "duckdb", "apsw", "numpy", "msgspec")
_PEERS: Final = ("tipg", "granian")
"""Packages of the peers' own environment."""


def machine() -> dict[str, Any]:
    """Cores, memory, kernel, and the versions of both sides."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {name: version(name) for name in _PACKAGES} | _peers() | _packaged(),
    }


def _peers() -> dict[str, str]:
    asked = {
        "postgresql": [str(postgres_binary("postgres")), "--version"],
        "influxdb": ["influxd", "version"],
        "nginx": ["/usr/sbin/nginx", "-v"],
        "wrk": ["wrk", "--version"],
    }
    found = {name: _version(words) for name, words in asked.items()}
    return {name: number for name, number in found.items() if number}


def _packaged() -> dict[str, str]:
    try:
        folder = peers_packages()
    except PeerMissing:
        return {}
    return {name: one.version for name in _PEERS for one in distributions(name=name, path=[folder])}


def _version(words: list[str]) -> str:
    try:
        asked = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    number = re.search(r"\d+\.\d[\w.~+-]*", asked.stdout + asked.stderr)
    return number.group() if number else ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
