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


SLOT_IN_USE = """
eval "$(sed -n '/^runs() {/,/^write_settings/p' "$0/install" | sed '$d')"
HOME_DIR=$1 wheel=$2 wheelhouse='' CACHE=$1/cache
build() { echo built.whl; }
install() { mkdir -p "${@: -1}"; }
systemctl() { echo "systemctl $*"; }
sync() { if [[ -L $HOME_DIR/current ]]; then echo "synced, linked"; else echo synced; fi; }
make_slot() {
  echo "made $2"
  mkdir -p "$1/bin"
  ln -sf /usr/bin/true "$1/bin/urbanos-edge"
  ln -sf /usr/bin/true "$1/bin/python"
}
make_slot_in_use
"""


def make_slot_in_use(home: Path, wheel: str = "") -> tuple[list[str], str]:
    done = run(SLOT_IN_USE, home, wheel)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if not line.startswith("systemctl")]
    return said, done.stderr


def test_the_first_slot_is_on_the_disk_before_it_is_in_use(tmp_path: Path) -> None:
    said, _ = make_slot_in_use(tmp_path)
    assert said == ["made built.whl", "synced"]
    assert os.readlink(tmp_path / "current") == "blue"


@pytest.mark.parametrize("broken", ["urbanos-edge", "python"])
def test_a_slot_that_does_not_run_any_more_is_made_anew(tmp_path: Path, broken: str) -> None:
    """Its Python went with the Debian before, or a power cut came before all of it was written."""
    make_slot_in_use(tmp_path)
    (tmp_path / "blue").rename(tmp_path / "green")
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("green")
    (tmp_path / "green" / "bin" / broken).unlink()
    (tmp_path / "green" / "bin" / broken).symlink_to("/usr/bin/python3.0")
    (tmp_path / "state.json").write_text("{}")
    said, _ = make_slot_in_use(tmp_path, "other.whl")
    assert said == ["made other.whl", "synced, linked"]
    assert os.readlink(tmp_path / "current") == "green"
    assert not (tmp_path / "blue").exists()


def test_a_slot_that_runs_stays_and_a_wheel_for_it_is_not_ignored_silently(tmp_path: Path) -> None:
    make_slot_in_use(tmp_path)
    said, told = make_slot_in_use(tmp_path, "other.whl")
    assert said == []
    assert "other.whl is not used" in told
