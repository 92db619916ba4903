"""The node under a service manager: sockets handed over, what it says back, and the unit files."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.http.sending import moment, now_us, reading, spot_number
from tests.processes import NodeProcess, command, free_port, wait_until
from tests.proofs.documents import drop_ins
from urbanos_edge import live
from urbanos_edge.access import bodies
from urbanos_edge.basemap import osm
from urbanos_edge.cache import answers, cache
from urbanos_edge.query import export
from urbanos_edge.settings import load

BOX_MIB = 3800
"""What the kernel has to give on a box of 4 GB."""
WITH_NOTHING_MIB = 200
"""What a node takes that has no readings (`VmHWM`)."""
CHECKED_MIB = 512
"""The most that a start with 90 days of readings may take (`tests/faults/years.py`)."""
UNITS = Path(__file__).parents[2] / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
HIGHEST_EXPOSURE = 15
"""Tenths, as `systemd-analyze security --threshold` takes it: 1.5."""
PATIENCE_US = 2_000_000
HANGS = """
import signal, sys, time
from urbanos_edge.cli import main
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(5))
sys.argv[0] = "urbanos-edge"
main()
"""
"""The node, whose event loop stands still for 5 s when it gets SIGUSR1; its threads go on."""
CANNOT_START = """
import sys
from unittest.mock import patch
from urbanos_edge.cli import main

async def fail(*_):
    raise RuntimeError("there is no way")

with patch(sys.argv.pop(1), fail):
    sys.argv[0] = "urbanos-edge"
    main()
"""
"""The node, in which the function that is named first fails."""
CANNOT_MAKE_CODE = """
import ctypes, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    sys.exit(f"prctl: errno {ctypes.get_errno()}")
from urbanos_edge.cli import main
sys.argv[0] = "urbanos-edge"
main()
"""
"""The node, to which the kernel gives no memory that is written and then executed."""


class Manager:
    """What listens at NOTIFY_SOCKET: every word with the moment it came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    @property
    def variables(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(PATIENCE_US)}

    def words(self) -> list[str]:
        return [word for _, word in self.heard]

    def longest_silence_s(self, since_s: float) -> float:
        """Between two beats that came after `since_s`, or between the last one and now."""
        beats = [at_s for at_s, word in self.heard if word == "WATCHDOG=1" and at_s > since_s]
        moments = [since_s, *beats, time.monotonic()]
        return max(later - earlier for earlier, later in zip(moments, moments[1:], strict=False))

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while words := self._socket.recv(4096).decode():
            self.heard += [(time.monotonic(), word) for word in words.split("\n")]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=128)


def test_systemd_hands_over_both_ports_and_the_node_serves_them(tmp_path: Path) -> None:
    """The real systemd-socket-activate starts the node at the first connection."""
    plain, secure = free_port(), free_port()
    activate = ["systemd-socket-activate", "-l", f"127.0.0.1:{plain}", "-l", f"127.0.0.1:{secure}"]
    passed = [f"--setenv={name}" for name in ("PATH", "PYTHONPATH") if name in os.environ]
    passed += ["--setenv=URBANOS_ANNOUNCE=false", "--setenv=URBANOS_DISCOVER=false"]
    serve = [*command(), "serve", "--data-dir", str(tmp_path / "node"), "--port", "1"]
    process = subprocess.Popen([*activate, *passed, *serve], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{plain}/health/ready"), 40)
        authority = tmp_path / "ca.crt"
        authority.write_bytes(httpx.get(f"http://127.0.0.1:{plain}/ca.crt").content)
        answer = httpx.get(f"https://localhost:{secure}/health/ready", verify=_trusting(authority))
        assert answer.json()["status"] == "ready"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)
    assert process.returncode == 0


def test_nobody_is_refused_while_one_node_ends_and_the_next_begins(tmp_path: Path) -> None:
    statuses: list[int | str] = []
    is_over = threading.Event()

    def ask_on(url: str) -> None:
        while not is_over.is_set():
            try:
                statuses.append(httpx.get(f"{url}/health/ready", timeout=30).status_code)
            except httpx.HTTPError as error:
                statuses.append(repr(error))

    with listener() as held:
        node = NodeProcess(tmp_path / "node", {}, listeners=[held])
        asker = threading.Thread(target=ask_on, args=(node.url,))
        asker.start()
        try:
            assert node.stop() == 0
            before = len(statuses)
            node = NodeProcess(tmp_path / "node", {}, listeners=[held])
            wait_until(lambda: len(statuses) > before + 5, 20)
        finally:
            is_over.set()
            asker.join()
            node.stop()
    assert set(statuses) == {200}


def test_the_manager_hears_of_the_start_of_beats_and_of_the_end(
    tmp_path: Path, manager: Manager
) -> None:
    """A loop that hangs sends no beats, although the node's other threads go on."""
    node = NodeProcess(
        tmp_path / "node", {}, [sys.executable, "-c", HANGS], variables=manager.variables
    )
    try:
        wait_until(manager.words, 20)
        assert manager.words()[0] == "READY=1"
        began_s = time.monotonic()
        wait_until(lambda: manager.words().count("WATCHDOG=1") >= 4, 20)
        assert manager.longest_silence_s(began_s) < PATIENCE_US / 1e6
        os.kill(node.pid, signal.SIGUSR1)
        hung_s = time.monotonic()
        time.sleep(4.2)
        assert manager.longest_silence_s(hung_s) > 2 * PATIENCE_US / 1e6
        assert not [word for word in manager.words() if word.startswith("STOPPING")]
    finally:
        assert node.stop() == 0
    assert "STOPPING=1" in manager.words()


@pytest.mark.parametrize(
    "broken", ["urbanos_edge.app.listen", "urbanos_edge.server.server._Server._serve_securely"]
)
def test_a_node_that_cannot_start_says_so_and_ends(
    tmp_path: Path, manager: Manager, broken: str
) -> None:
    """It would else be there for ever without serving, and nobody would start another."""
    words = ["serve", "--data-dir", str(tmp_path / "node"), "--host", "127.0.0.1", "--port", "0"]
    settings = {"URBANOS_ANNOUNCE": "false", "URBANOS_DISCOVER": "false", "URBANOS_TLS_PORT": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", CANNOT_START, broken, *words],
        env=os.environ | manager.variables | settings,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "RuntimeError: there is no way" in ended.stderr
    assert "READY=1" not in manager.words()
    assert not list((tmp_path / "node").glob("*-wal")), "the database was not closed"


def test_the_node_needs_no_memory_that_is_written_and_then_executed(tmp_path: Path) -> None:
    """MemoryDenyWriteExecute, by the kernel: uvloop, DuckDB with spatial, numpy, TLS."""
    probe = subprocess.run(
        [sys.executable, "-c", CANNOT_MAKE_CODE, "--version"], capture_output=True, text=True
    )
    if "errno 22" in probe.stderr:
        pytest.skip("this kernel has no PR_SET_MDWE (6.3 has)")
    program = [sys.executable, "-c", CANNOT_MAKE_CODE]
    node = NodeProcess(tmp_path / "node", {"tls_port": 0, "flush_interval_s": 0.5}, program)
    try:
        spot = spot_number(0)
        assert node.post(reading(spot, "confined"), node.token()).status_code == 202
        node.flush()
        begin = {"from": moment(now_us() - 60_000_000)}
        rows = node.client.get("/api/v1/export", params=begin)
        assert rows.status_code == 200, rows.text
        (row,) = csv.DictReader(rows.text.splitlines())
        assert row["sensor_id"] == "confined"
        trust = ssl.create_default_context(cadata=node.client.get("/ca.crt").text)
        url = f"https://localhost:{node.status()['tls']['port']}/health/ready"
        assert httpx.get(url, verify=trust).status_code == 200
    finally:
        assert node.stop() == 0


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unit files, with programs in their place that this machine has."""
    if os.geteuid() != 0 and not Path("/run/systemd").exists():
        pytest.skip("systemd-analyze takes /run/systemd, which only root can make")
    folder = tmp_path_factory.mktemp("units")
    for path in UNITS.glob("urbanos-*.s*"):
        (folder / path.name).write_text(_with_programs_of_here(path.read_text()))
    return folder


def _with_programs_of_here(text: str) -> str:
    return re.sub(r"^ExecStart=/(?:opt|usr)/\S+", "ExecStart=/bin/true", text, flags=re.M)


def test_systemd_finds_no_fault_in_the_units(units: Path) -> None:
    paths = sorted(str(path) for path in units.iterdir())
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("heading", ["Other ports", "What the service is given", "Restore"])
def test_what_the_documents_add_to_the_units_is_understood(
    units: Path, tmp_path: Path, heading: str
) -> None:
    shutil.copytree(units, tmp_path, dirs_exist_ok=True)
    added = drop_ins(heading)
    assert added
    for unit, text in added:
        (tmp_path / f"{unit}.d").mkdir()
        (tmp_path / f"{unit}.d" / "override.conf").write_text(_with_programs_of_here(text))
    paths = sorted(str(path) for path in tmp_path.iterdir() if path.is_file())
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_is_more_exposed_than_1_5(units: Path, name: str) -> None:
    words = ["security", "--offline=true", f"--threshold={HIGHEST_EXPOSURE}", str(units / name)]
    ended = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-300:]


def test_the_ports_of_the_units_are_those_of_the_settings() -> None:
    """Who reads docs/settings.md must find the node where it says."""
    lines = (UNITS / "urbanos-edge.socket").read_text().splitlines()
    ports = [int(line.rpartition(":")[2]) for line in lines if line.startswith("ListenStream=")]
    assert ports[0] == load({}, environment={}).port
    assert len(ports) == 2


def test_the_unit_leaves_a_node_all_the_memory_that_is_bounded_in_it_on_a_box_of_4_gb() -> None:
    """All of it at once, and a second program that checks the restored backup meanwhile."""
    (share,) = re.findall(r"^MemoryMax=(\d+)%$", (UNITS / "urbanos-edge.service").read_text(), re.M)
    settings = load({}, environment={})
    bounded_mib = settings.duckdb_memory_mib + settings.recent_memory_mib
    bounded_mib += export.AT_ONCE * export.MEMORY_MIB + osm.MEMORY_MIB
    bounded_mib += bodies.AT_ONCE * settings.max_body_mib
    bounded_mib += (cache.MAX_BYTES + answers.MAX_READY_BYTES + live.MAX_HISTORY_BYTES) >> 20
    assert bounded_mib + WITH_NOTHING_MIB + CHECKED_MIB <= int(share) / 100 * BOX_MIB


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))
