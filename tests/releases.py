"""Releases built from this source, with another version or a fault, and what they need beside them.

All that the node needs is one small wheel here, which points at this environment: it is installed
offline and by hash as the real ones are, without their 200 MB.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
NEEDED: Final = "the_rest-1.0-py3-none-any.whl"
_NOT_NEEDED: Final = shutil.ignore_patterns(
    *(".git", ".venv", ".cache", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info"),
    *("node_modules", "tests", "bench", "urbanos-data", "dist", "test-artifacts"),
)


def build(folder: Path, version: str, more: Mapping[str, str] | None = None) -> Path:
    """Build a wheel of this version into `folder`; `more` is added to the end of these files."""
    source = folder / f"source-{version}"
    shutil.copytree(ROOT, source, ignore=_NOT_NEEDED)
    lock = source / "scripts" / "locks" / "runtime.txt"
    lock.write_text(f"the-rest==1.0 --hash=sha256:{_write_needed(folder)}\n")
    (source / "urbanos_edge" / "__init__.py").write_text(
        f'"""A release."""\n\n__version__ = "{version}"\n'
    )
    project = source / "pyproject.toml"
    dependencies = re.compile(r"^dependencies = \[.*?^\]", re.MULTILINE | re.DOTALL)
    text, count = dependencies.subn('dependencies = ["the-rest==1.0"]', project.read_text())
    assert count == 1
    project.write_text(text)
    for name, addition in (more or {}).items():
        with (source / name).open("a") as opened:
            opened.write(addition)
    words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*words, str(folder)], cwd=source, check=True, capture_output=True)
    shutil.rmtree(source)
    (wheel,) = folder.glob(f"urbanos_edge-{version}-*.whl")
    return wheel


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_needed(folder: Path) -> str:
    """The wheel that brings this environment's packages; its hash."""
    path = folder / NEEDED
    if not path.exists():
        about = "the_rest-1.0.dist-info"
        files = {
            "the_rest.pth": sysconfig.get_path("purelib") + "\n",
            f"{about}/METADATA": "Metadata-Version: 2.1\nName: the-rest\nVersion: 1.0\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        }
        lines = [f"{name},{_recorded(text)},{len(text)}" for name, text in files.items()]
        files[f"{about}/RECORD"] = "\n".join([*lines, f"{about}/RECORD,,", ""])
        with zipfile.ZipFile(path, "w") as wheel:
            for name, text in files.items():
                wheel.writestr(name, text)
    return sha256_of(path)


def _recorded(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
