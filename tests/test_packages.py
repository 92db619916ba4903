"""The wheel and the source archive: what is in them, and that both are the same program."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from email.parser import BytesParser
from pathlib import Path, PurePosixPath

import pytest

from scripts.bill import parts
from urbanos_edge import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "urbanos_edge"
NAME = f"urbanos_edge-{__version__}"
ABOUT = f"{NAME}.dist-info"
PROGRAM = {".py", ".sql", ".typed"}
NOT_OURS = {"tests", "bench", "node_modules", ".cache", ".venv", "__pycache__", "urbanos-data"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both."""
    if not (PACKAGE / "static" / "index.html").exists():
        pytest.skip("the web pages are not built")
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder, "sdist", "wheel")
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl")


@pytest.fixture(scope="module")
def archive(dist: Path) -> tarfile.TarFile:
    return tarfile.open(dist / f"{NAME}.tar.gz")


def build(source: Path, folder: Path, *kinds: str) -> None:
    targets = [word for kind in kinds for word in ("--target", kind)]
    words = [sys.executable, "-m", "hatchling", "build", *targets, "--directory", str(folder)]
    subprocess.run(words, cwd=source, check=True, capture_output=True)


def named_in(archive: tarfile.TarFile) -> set[str]:
    """Files, by their path below the archive's one folder."""
    members = [member.name for member in archive if member.isfile()]
    assert {PurePosixPath(name).parts[0] for name in members} == {NAME}
    return {name.partition("/")[2] for name in members}


def lying_in(folder: Path, suffixes: set[str]) -> set[str]:
    found = {path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file()}
    return {str(path.relative_to(folder)) for path in found}


def test_the_wheel_holds_the_program_its_page_and_what_it_asks_for_and_nothing_else(
    wheel: zipfile.ZipFile,
) -> None:
    inside = set(wheel.namelist())
    program = {f"urbanos_edge/{name}" for name in lying_in(PACKAGE, PROGRAM)}
    schemas = {f"urbanos_edge/migrations/{name}" for name in lying_in(ROOT / "migrations", PROGRAM)}
    assert program | schemas <= inside
    others = inside - program - schemas
    assert {"urbanos_edge/static/index.html", "urbanos_edge/locks/runtime.txt"} <= others
    places = {str(PurePosixPath(*PurePosixPath(name).parts[:2])) for name in others}
    assert {place for place in places if not place.startswith(ABOUT)} == {
        *("urbanos_edge/static", "urbanos_edge/locks", "urbanos_edge/api")
    }
    assert f"{ABOUT}/licenses/LICENSE" in others


def test_the_source_archive_holds_what_installs_it_and_no_tests_caches_or_data(
    archive: tarfile.TarFile,
) -> None:
    inside = named_in(archive)
    needed = {"LICENSE", "README.md", "scripts/install", "scripts/lib.sh", "web/package-lock.json"}
    units = {f"systemd/{name}" for name in lying_in(ROOT / "systemd", {".service", ".socket"})}
    assert needed | units | {"urbanos_edge/static/index.html"} <= inside
    assert not NOT_OURS & {part for name in inside for part in PurePosixPath(name).parts}


def test_the_source_archive_gives_the_same_wheel(
    archive: tarfile.TarFile, dist: Path, tmp_path: Path
) -> None:
    """Byte for byte, and with nothing at hand but what builds a package of Python."""
    subprocess.run(["tar", "-xf", str(archive.name), "-C", str(tmp_path)], check=True)
    build(tmp_path / NAME, tmp_path, "wheel")
    again = tmp_path / f"{NAME}-py3-none-any.whl"
    assert again.read_bytes() == (dist / again.name).read_bytes()


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    told = BytesParser().parsebytes(wheel.read(f"{ABOUT}/METADATA"))
    assert (told["Name"], told["Version"]) == ("urbanos-edge", __version__)
    assert (told["License-Expression"], told["License-File"]) == ("Apache-2.0", "LICENSE")
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload(decode=True) == (ROOT / "README.md").read_bytes()
    assert wheel.read(f"{ABOUT}/entry_points.txt").decode().split() == [
        *("[console_scripts]", "urbanos-edge", "=", "urbanos_edge.cli:main")
    ]


def test_the_wheel_carries_the_bill(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if ".dist-info/sboms/" in name]
    found = json.loads(wheel.read(name))
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    assert {one["purl"] for one in found["components"]} == {part.purl for part in parts()}
