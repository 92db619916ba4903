"""Exports over HTTP and by the command, with the node running or not."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import duckdb
import httpx
import pytest

from tests.damage import spoil
from tests.http.sending import assert_is_error, moment, stored
from tests.http.test_commands import assert_failed, run
from tests.processes import NodeProcess, command, wait_until
from urbanos_edge import control

PATH = "/api/v1/export"
DAY = "2025-11-20"
NEXT_DAY = "2025-11-21"
DAY_US = 1_763_596_800_000_000
BATCH, BATCHES = 10_000, 6
SPAN = {"from": DAY, "to": NEXT_DAY}
LARGE = SPAN | {"format": "ndjson"}
HASTY = """
from urbanos_edge.api import export
from urbanos_edge.cli import main

export.LONGEST_S = 2
main()
"""
"""A node whose exports may take two seconds."""


def row(number: int) -> dict[str, Any]:
    return {
        "sensor_id": f"s{number % 50}",
        "location": {"lat": 60.171, "lng": 24.941},
        "timestamp": moment(DAY_US + number * 1000),
        "values": {"pm25": 12.3},
    }


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose node does not run: one past day's 60,000 readings in six files.

    They are 30 MB as NDJSON, more than sockets hold.
    """
    node = NodeProcess(tmp_path_factory.mktemp("filled"), {})
    try:
        token = node.token()
        for batch in range(BATCHES):
            first = batch * BATCH
            answer = node.post([row(number) for number in range(first, first + BATCH)], token)
            assert answer.json()["accepted"] == BATCH, answer.text
            node.flush()
    finally:
        node.stop()
    return node.data_dir


def copied(filled: Path, to: Path) -> Path:
    """Another directory with the same readings; its node makes a ballast of its own."""
    return shutil.copytree(filled, to, ignore=shutil.ignore_patterns("ballast", "control.sock"))


@pytest.fixture(scope="module")
def full(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that runs on these readings."""
    process = NodeProcess(copied(filled, tmp_path_factory.mktemp("full") / "node"), {})
    yield process
    process.stop()


@pytest.fixture
def own(filled: Path, tmp_path: Path) -> Path:
    """A copy of them for one test alone."""
    return copied(filled, tmp_path / "node")


@contextmanager
def reading_slowly(
    node: NodeProcess, query: dict[str, str], place: int = 1, **headers: str
) -> Iterator[socket.socket]:
    """A client that has asked, got the first bytes, and takes no more.

    All of 127.0.0.0/8 is this machine's: `place` is the last number of its address.
    """
    with socket.socket() as client:
        client.bind((f"127.0.0.{place}", 0))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(("127.0.0.1", node.port))
        path = httpx.URL(PATH, params=query).raw_path.decode()
        said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{said}\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        yield client


def copies(node: NodeProcess) -> list[Path]:
    return list(node.data_dir.glob(".tmp/export-*"))


def threads(node: NodeProcess) -> int:
    return len(os.listdir(f"/proc/{node.pid}/task"))


# --- over HTTP ---


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("csv", "text/csv; charset=utf-8"),
        ("geojson", "application/geo+json"),
        ("ndjson", "application/x-ndjson"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
def test_an_answer_names_its_type_and_its_file(
    full: NodeProcess, kind: str, media_type: str
) -> None:
    answer = full.client.get(PATH, params=SPAN | {"format": kind})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == media_type
    name = f'attachment; filename="readings_{DAY}_{NEXT_DAY}.{kind}"'
    assert answer.headers["content-disposition"] == name
    assert int(answer.headers["x-total-rows-estimate"]) == BATCH * BATCHES
    assert answer.headers["cache-control"] == "no-store"


def test_csv_holds_each_reading_once_with_its_moment(full: NodeProcess) -> None:
    rows = list(csv.DictReader(full.client.get(PATH, params=SPAN).text.splitlines()))
    found = {(row["sensor_id"], row["timestamp"]) for row in rows}
    at = [moment(DAY_US + number * 1000) for number in range(BATCH * BATCHES)]
    sent = {(f"s{number % 50}", _as_shown(text)) for number, text in enumerate(at)}
    assert len(rows) == len(found)
    assert found == sent


def _as_shown(text: str) -> str:
    return text.removesuffix("+00:00").removesuffix(".000000") + "Z"


def test_moments_may_have_any_zone(full: NodeProcess) -> None:
    span = {"from": f"{DAY}T02:00:00.005+02:00", "to": f"{DAY}T00:00:00.008Z", "format": "ndjson"}
    lines = full.client.get(PATH, params=span).text.splitlines()
    assert sorted(json.loads(line)["sensor_id"] for line in lines) == ["s5", "s6", "s7"]


def test_one_sensor_leaves_the_others_out(full: NodeProcess) -> None:
    answer = full.client.get(PATH, params=SPAN | {"sensor": "s7"})
    rows = list(csv.DictReader(answer.text.splitlines()))
    assert [row["sensor_id"] for row in rows] == ["s7"] * (BATCH * BATCHES // 50)
    assert f'filename="s7_{DAY}_{NEXT_DAY}.csv"' in answer.headers["content-disposition"]
    nobody = full.client.get(PATH, params=SPAN | {"sensor": "../ä"})
    assert len(nobody.text.splitlines()) == 1
    assert 'filename=".._' in nobody.headers["content-disposition"]


def test_a_box_leaves_the_others_out(full: NodeProcess) -> None:
    there = full.client.get(PATH, params=SPAN | {"bbox": "24.9,60.1,25,60.2"})
    elsewhere = full.client.get(PATH, params=SPAN | {"bbox": "-25,60.1,-24.9,60.2"})
    assert len(there.text.splitlines()) == BATCH * BATCHES + 1
    assert len(elsewhere.text.splitlines()) == 1


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "range_missing"),
        ({"to": NEXT_DAY}, "range_missing"),
        ({"from": "yesterday"}, "invalid_from"),
        ({"from": "2025-02-30"}, "invalid_from"),
        ({"from": "2025-11-20T10:00:00"}, "invalid_from"),
        ({"from": DAY, "to": "soon"}, "invalid_to"),
        ({"from": NEXT_DAY, "to": DAY}, "invalid_range"),
        ({"from": "2999-01-01"}, "invalid_range"),
        ({"from": "2024-01-01", "to": "2025-01-02"}, "range_too_long"),
        (SPAN | {"format": "xlsx"}, "invalid_format"),
        (SPAN | {"columns": "theirs"}, "invalid_columns"),
        (SPAN | {"bbox": "1,2,3"}, "invalid_bounds"),
        (SPAN | {"bbox": "1,2,3,four"}, "invalid_bounds"),
        (SPAN | {"bbox": "1,2,3,nan"}, "invalid_bounds"),
        (SPAN | {"bbox": "0,0,181,1"}, "invalid_bounds"),
        (SPAN | {"bbox": "1,0,0,1"}, "invalid_bounds"),
    ],
)
def test_what_is_asked_wrongly_is_refused(
    full: NodeProcess, query: dict[str, str], code: str
) -> None:
    answer = full.client.get(PATH, params=query)
    assert assert_is_error(answer, 422)["code"] == code
    if code == "range_too_long":
        assert "366" in answer.text


def test_a_year_with_its_leap_day_is_not_too_long(full: NodeProcess) -> None:
    span = {"from": "2024-01-01", "to": "2025-01-01"}
    assert full.client.get(PATH, params=span).status_code == 200


def test_a_head_leaves_the_connection_in_use(full: NodeProcess) -> None:
    with httpx.Client(base_url=full.url) as client:
        head = client.head(PATH, params=LARGE)
        assert (head.status_code, head.content) == (200, b"")
        ports = {_port(client.get("/health/live")), _port(head)}
    assert len(ports) == 1
    wait_until(lambda: not copies(full), 10, full.log)


def _port(answer: httpx.Response) -> int:
    stream = answer.extensions["network_stream"]
    port: int = stream.get_extra_info("client_addr")[1]
    return port


def test_a_third_export_at_once_is_told_to_come_again(full: NodeProcess) -> None:
    with ExitStack() as clients:
        for place in (2, 3):
            clients.enter_context(reading_slowly(full, LARGE, place))
        refused = full.client.get(PATH, params=SPAN)
        assert assert_is_error(refused, 503)["code"] == "busy"
        assert int(refused.headers["retry-after"]) > 0
    wait_until(lambda: full.client.get(PATH, params=SPAN).status_code == 200, 10, full.log)


def test_an_address_has_one_export_at_a_time_and_so_has_a_token(full: NodeProcess) -> None:
    bearer = {"Authorization": f"Bearer {full.token('sync')}"}
    with reading_slowly(full, LARGE):
        assert assert_is_error(full.client.get(PATH, params=SPAN), 503)["code"] == "busy"
        assert full.client.get(PATH, params=SPAN, headers=bearer).status_code == 200
    with reading_slowly(full, LARGE, 2, **bearer):
        refused = full.client.get(PATH, params=SPAN, headers=bearer)
        assert assert_is_error(refused, 503)["code"] == "busy"
        assert full.client.get(PATH, params=SPAN).status_code == 200


def test_a_client_that_leaves_leaves_nothing_behind(full: NodeProcess) -> None:
    full.client.get(PATH, params=SPAN)
    before = threads(full)
    for _ in range(4):
        with reading_slowly(full, LARGE):
            assert len(copies(full)) == 1
        wait_until(lambda: not copies(full), 10, full.log)
        wait_until(lambda: full.client.get(PATH, params=SPAN).status_code == 200, 10, full.log)
    wait_until(lambda: threads(full) <= before + 1, 10, full.log)
    assert "broke off" not in full.log()
    assert "Traceback" not in full.log()


def test_a_node_stops_at_once_although_exports_run(
    start_node: Callable[..., NodeProcess], own: Path
) -> None:
    node = start_node(own)
    with reading_slowly(node, LARGE), reading_slowly(node, LARGE, 2) as client:
        began_s = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began_s < 4
        assert not _rest(client).endswith(b"0\r\n\r\n"), "the answer looks complete"
    assert "Traceback" not in node.log()
    assert not copies(node)


def test_an_export_that_takes_too_long_is_broken_off(own: Path) -> None:
    node = NodeProcess(own, {}, program=[sys.executable, "-c", HASTY])
    try:
        with reading_slowly(node, LARGE) as client:
            wait_until(lambda: not copies(node), 20, node.log)
            assert not _rest(client).endswith(b"0\r\n\r\n"), "the answer looks complete"
    finally:
        node.stop()


def test_an_export_ends_with_the_right_to_read(
    start_node: Callable[..., NodeProcess], own: Path
) -> None:
    node = start_node(own, public_read=False)
    token = node.token("sync")
    login = node.client.post("/api/v1/session", json={"token": token}).json()
    with reading_slowly(node, LARGE, Authorization=f"Bearer {token}") as client:
        control.request(node.data_dir, "revoke_token", {"id": login["token_id"]})
        wait_until(lambda: not copies(node), 20, node.log)
        assert not _rest(client).endswith(b"0\r\n\r\n"), "the answer looks complete"


def _rest(client: socket.socket) -> bytes:
    """What still comes until the connection ends, one way or the other."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(1 << 20):
            received += piece
    return received


def test_an_answer_that_breaks_off_shows_as_incomplete(
    start_node: Callable[..., NodeProcess], own: Path
) -> None:
    node = start_node(own)
    last = max(node.data_dir.glob(f"readings/created_date={DAY}/*.parquet"))
    with (
        pytest.raises(httpx.RemoteProtocolError),
        node.client.stream("GET", PATH, params=LARGE) as answer,
    ):
        pieces = answer.iter_raw(1 << 10)
        next(pieces)
        spoil(last, "overwritten")
        for _ in pieces:
            pass
    assert "Traceback" not in node.log()
    again = node.client.get(PATH, params=LARGE)
    assert len(again.text.splitlines()) == BATCH * (BATCHES - 1)
    assert node.status()["quarantined"] == 1


# --- by the command ---


@pytest.fixture(params=["running", "resting"])
def data_dir(request: pytest.FixtureRequest) -> Path:
    if request.param == "resting":
        return cast(Path, request.getfixturevalue("filled"))
    return cast(NodeProcess, request.getfixturevalue("full")).data_dir


def test_the_command_writes_what_the_files_hold(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    ended = run(
        data_dir,
        *("export", "--from", DAY, "--to", NEXT_DAY, "--bbox", "24,60,25,61"),
        *("--format", "parquet", str(out)),
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    exported = sorted(_identities(out))
    files = stored(data_dir, "sensor_id, epoch_us(timestamp)", f"WHERE created_date = '{DAY}'")
    assert exported == sorted(files)
    assert os.listdir(tmp_path) == ["out.parquet"]


def _identities(path: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(
            f"SELECT sensor_id, epoch_us(timestamp) FROM read_parquet('{path}')"
        ).fetchall()


def test_the_command_writes_to_stdout(data_dir: Path) -> None:
    span = ("--from", f"{DAY}T00:00:00Z", "--to", f"{DAY}T00:00:00.003Z")
    for more, expected in (((), ["s0", "s1", "s2"]), (("--sensor", "s1"), ["s1"])):
        ended = run(data_dir, "export", *span, *more, "--format", "csv", "-")
        rows = list(csv.DictReader(ended.stdout.splitlines()))
        assert sorted(row["sensor_id"] for row in rows) == expected


def test_a_file_that_exists_is_replaced_only_by_force(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    words = ("export", "--from", DAY, "--to", NEXT_DAY, str(out))
    assert_failed(run(data_dir, *words), "out.csv", "--force")
    assert out.read_text() == "mine"
    assert run(data_dir, *words, "--force").returncode == 0
    assert len(out.read_text().splitlines()) == BATCH * BATCHES + 1


@pytest.mark.parametrize(
    "words",
    [
        "export out.csv",
        "export --from 2025-11-20",
        "export --from yesterday out.csv",
        "export --from 2025-11-21 --to 2025-11-20 out.csv",
        "export --from 2023-01-01 --to 2025-01-01 out.csv",
        "export --from 2025-11-20 --bbox 1,2,3 out.csv",
        "export --from 2025-11-20 --format xlsx out.csv",
    ],
)
def test_wrong_usage_ends_with_2_and_one_line(tmp_path: Path, words: str) -> None:
    ended = run(tmp_path / "data", *words.split())
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_written_is_said_in_one_line(data_dir: Path) -> None:
    words = ("export", "--from", DAY, "--to", NEXT_DAY, "/nowhere/out.csv")
    assert_failed(run(data_dir, *words), "/nowhere/out.csv")


def test_a_transfer_that_breaks_leaves_no_file(
    start_node: Callable[..., NodeProcess], own: Path, tmp_path: Path
) -> None:
    node = start_node(own)
    folder = tmp_path / "out"
    folder.mkdir()
    words = ["export", "--from", DAY, "--to", NEXT_DAY, "--format", "ndjson", str(folder / "a")]
    taking = subprocess.Popen(
        [*command(), *words, "--data-dir", str(node.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: _size(folder / "a.part") > 0, 20)
        taking.send_signal(signal.SIGSTOP)
        node.kill()
        taking.send_signal(signal.SIGCONT)
        _, told = taking.communicate(timeout=30)
    finally:
        taking.kill()
        taking.wait()
    assert (taking.returncode, len(told.strip().splitlines())) == (1, 1), told
    assert "broke off" in told
    assert os.listdir(folder) == []


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
