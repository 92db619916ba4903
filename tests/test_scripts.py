"""What the scripts do before they bring anything."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_who_asks_how_to_run_the_tests_is_told_at_once(tmp_path: Path) -> None:
    """In a clone where nothing was brought yet; nothing is afterwards, either."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    told = subprocess.run(
        [tmp_path / "scripts" / "test", "--help"], capture_output=True, text=True, timeout=20
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("usage: scripts/test")
    assert [path.name for path in tmp_path.iterdir()] == ["scripts"]
