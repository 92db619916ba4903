"""What root does for the service's user gives nothing to whoever has become that user."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from tests.readings import reading
from tests.test_flush import store
from urbanos_edge import control
from urbanos_edge.backup.restore import RestoreFailed, find_backup, restore
from urbanos_edge.clock import Clock
from urbanos_edge.deploy.rehearsal import Failed, rehearse
from urbanos_edge.errors import EdgeError
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.settings import Settings
from urbanos_edge.tls.tls import Request, Tls
from urbanos_edge.upkeep.upkeep import back_up

SERVICE: Final = 65534
"""Whom the data belong to here: nobody."""
SECRET: Final = "root's own"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may look into, with a file that only root may read."""
    with tempfile.TemporaryDirectory(prefix="urbanos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "secret").write_text(SECRET)
        (folder / "secret").chmod(0o600)
        yield folder


@pytest.fixture
def home(place: Path) -> Path:
    """The service's data directory."""
    (place / "data").mkdir(mode=0o700)
    give(place / "data")
    return place / "data"


def give(*paths: Path) -> None:
    for path in paths:
        os.chown(path, SERVICE, SERVICE, follow_symlinks=False)


def test_who_takes_a_data_directory_makes_no_file_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lock").symlink_to(tmp_path / "nologin")
    with pytest.raises(EdgeError, match="cannot be used"), control.own(tmp_path / "data"):
        pass
    assert not (tmp_path / "nologin").exists()


@pytest.fixture
def careless() -> Iterator[None]:
    """As from a terminal: what is made may be read by everybody, if nothing else is said."""
    former = os.umask(0o022)
    yield
    os.umask(former)


@pytest.mark.usefixtures("careless")
def test_a_new_data_directory_is_its_owners_only(tmp_path: Path) -> None:
    with control.own(tmp_path / "new" / "data"):
        assert stat.S_IMODE((tmp_path / "new" / "data").stat().st_mode) == 0o700


@pytest.mark.usefixtures("careless")
def test_what_a_backup_writes_into_a_directory_is_its_owners_only(
    node: Node, tmp_path_factory: pytest.TempPathFactory
) -> None:
    address = tmp_path_factory.mktemp("disk") / "backups"
    (node.data_dir / "urbanos.toml").write_text('alert_secret = "secret"\n')
    anyio.run(lambda: back_up(node, str(address), keep=7))
    files = [path for path in address.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


# --- restore ---


@pytest.fixture
def backups(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a backup with one reading is."""
    address = tmp_path_factory.mktemp("disk") / "backups"
    store(node, reading())
    anyio.run(lambda: back_up(node, str(address), keep=7))
    return address


def brought_back(backups: Path, home: Path) -> Path | None:
    shelf, catalogue = find_backup(str(backups), None, None)
    return restore(shelf, catalogue, home, time.time_ns() // 1000, ignore_progress)


@as_root
def test_what_root_restores_belongs_to_the_owner_of_the_old_state(
    backups: Path, home: Path
) -> None:
    (home / "urbanos.toml").write_text("port = 8081\n")
    trusted = Tls(home / "tls", Settings(), Clock()).init(Request()).sha256
    give(*home.rglob("*"))
    kept = brought_back(backups, home)
    assert kept is not None and kept.stat().st_uid == SERVICE
    found = [home, *home.rglob("*")]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in found} == {(SERVICE, SERVICE)}
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert (home / "urbanos.toml").read_text() == "port = 8081\n"
    assert Tls(home / "tls", Settings(), Clock()).standing().sha256 == trusted
    restored = Node(Settings(), home)
    assert sum(file.rows for file in restored.store.files) == 1
    restored.close()
    assert os.geteuid() == 0


@as_root
@pytest.mark.parametrize("name", ["urbanos.toml", "tls/ca.key"])
def test_a_restore_takes_nothing_over_that_the_owner_may_not_read(
    backups: Path, home: Path, place: Path, name: str
) -> None:
    (home / "tls").mkdir()
    (home / name).symlink_to(place / "secret")
    give(*home.rglob("*"))
    with pytest.raises(RestoreFailed, match="cannot be copied by its owner"):
        brought_back(backups, home)
    assert (home / name).is_symlink()
    assert {path.name for path in place.iterdir()} == {"data", "secret"}
    assert (place / "secret").stat().st_uid == os.geteuid() == 0


# --- deploy check ---


class Impostor:
    """Answers at a node's socket, and names this folder as the copy that it was asked for."""

    def __init__(self, data_dir: Path, folder: Path) -> None:
        self._answers: dict[str, Any] = {"recent_gets": [], "copy": {"folder": str(folder)}}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(data_dir / "control.sock"))
        self._socket.listen()
        self._thread = threading.Thread(target=self._converse)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _converse(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                asked = json.loads(lines.readline())["command"]
                connection.sendall(json.dumps({"result": self._answers[asked]}).encode() + b"\n")


@pytest.fixture
def checked(place: Path, home: Path) -> Callable[[Path], list[str]]:
    """Check a version with this folder as the copy; what the version tells of it.

    It writes down who it is and what it may read there, and ends.
    """
    (place / "told").mkdir()
    give(place / "told")
    program = place / "urbanos-edge"
    program.write_text(f'#!/bin/sh\n(id -u; cat "$3/loot") >>{place}/told/words 2>&1\n')
    program.chmod(0o755)

    def check(folder: Path) -> list[str]:
        impostor = Impostor(home, folder)
        try:
            with pytest.raises((Failed, EdgeError)):
                rehearse(program, program, home, ignore_progress)
        finally:
            impostor.close()
        words = place / "told" / "words"
        return words.read_text().splitlines() if words.exists() else []

    return check


@as_root
def test_a_check_copies_nothing_that_the_owner_of_the_data_may_not_read(
    place: Path, home: Path, checked: Callable[[Path], list[str]]
) -> None:
    (home / "copy").mkdir()
    (home / "copy" / "loot").symlink_to(place / "secret")
    give(home / "copy", home / "copy" / "loot")
    assert checked(home / "copy") == []


@as_root
def test_a_check_runs_no_version_as_root_on_data_of_somebody_else(
    place: Path, home: Path, checked: Callable[[Path], list[str]]
) -> None:
    (place / "roots").mkdir()
    (place / "roots" / "loot").write_text("for everybody\n")
    (place / "roots" / "loot").chmod(0o644)
    (place / "roots").chmod(0o755)
    (home / "copy").symlink_to(place / "roots")
    assert checked(home / "copy") == [str(SERVICE), "for everybody"]


@as_root
def test_a_check_removes_nothing_that_the_owner_of_the_data_may_not_remove(
    place: Path, checked: Callable[[Path], list[str]]
) -> None:
    (place / "etc").mkdir()
    (place / "etc" / "passwd").write_text("root\n")
    assert checked(place / "etc") == []
    assert (place / "etc" / "passwd").read_text() == "root\n"
