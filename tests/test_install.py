"""What `scripts/install` finds out about the machine it runs on, and writes for the node."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def run(script: str, *words: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a line of the scripts' own language, with all that they share."""
    command: list[str | Path] = ["bash", "-c", f'source "$0/lib.sh"; {script}', SCRIPTS, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, input=given)


def local_zone(root: Path) -> str | None:
    """The zone that the script takes from a machine with this root; None where it takes none."""
    done = run('local_zone "$1"', root)
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


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of root's that everybody may look into, with one of nobody's in it."""
    if os.geteuid() != 0:
        pytest.skip("only root writes for somebody else")
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "data").mkdir(mode=0o700)
        shutil.chown(Path(name) / "data", "nobody")
        yield Path(name)


def test_settings_are_their_users_and_for_nobody_else(place: Path) -> None:
    path = place / "data" / "urbanos.toml"
    assert run('write_as nobody "$1"', path, given="port = 8081\n").returncode == 0
    found = path.stat()
    assert (path.read_text(), stat.S_IMODE(found.st_mode)) == ("port = 8081\n", 0o600)
    assert found.st_uid == pwd.getpwnam("nobody").pw_uid


def test_a_link_in_the_place_of_the_settings_leads_to_nothing_of_roots(place: Path) -> None:
    path = place / "data" / "urbanos.toml"
    path.symlink_to(place / "task")
    assert run('write_as nobody "$1"', path, given="port = 8081\n").returncode != 0
    assert {found.name for found in place.iterdir()} == {"data"}
