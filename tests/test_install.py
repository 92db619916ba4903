"""What `scripts/install` finds out about the machine it runs on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def local_zone(root: Path) -> str | None:
    """The zone that the script takes from a machine with this root; None where it takes none."""
    script = 'source "$1/lib.sh"; local_zone "$2"'
    command: list[str | Path] = ["bash", "-c", script, "bash", SCRIPTS, root]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a machine that tells nothing of its zone."""
    (tmp_path / "etc").mkdir()
    return tmp_path


def test_the_zone_is_the_one_that_the_machines_clocks_go_by(root: Path) -> None:
    (root / "etc" / "localtime").symlink_to("/usr/share/zoneinfo/Europe/Helsinki")
    (root / "etc" / "timezone").write_text("Etc/UTC\n")
    assert local_zone(root) == "Europe/Helsinki"


def test_where_the_clocks_zone_has_no_name_debian_tells_it(root: Path) -> None:
    (root / "etc" / "localtime").write_bytes(b"TZif2")
    (root / "etc" / "timezone").write_text("America/Argentina/Salta\n")
    assert local_zone(root) == "America/Argentina/Salta"


@pytest.mark.parametrize("told", ["", "Mars/Olympus\n", "../../etc/passwd\n", None])
def test_a_zone_that_nobody_knows_is_none(root: Path, told: str | None) -> None:
    if told is not None:
        (root / "etc" / "timezone").write_text(told)
    assert local_zone(root) is None
