"""`check` finds what is wrong, says it in words, and mends what can be mended."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import duckdb
import msgspec
import pytest

from tests import compacting
from tests.damage import WAYS, spoil
from tests.processes import NodeProcess
from tests.readings import NOW_US, reading
from tests.test_flush import store, stored
from tests.test_quarantine import only_file, sent
from urbanos_edge.backup.backup import Copied
from urbanos_edge.backup.check import Finding, Report, forget_lost
from urbanos_edge.clock import DAY_US
from urbanos_edge.errors import Unavailable
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.store import steps
from urbanos_edge.store.integrity import checksum_of
from urbanos_edge.upkeep.upkeep import back_up, check


def report_of(node: Node, *, repair: bool = False) -> Report:
    return anyio.run(partial(check, node, repair=repair, tell=ignore_progress))


def only_finding(node: Node, *, repair: bool = False) -> Finding:
    (finding,) = report_of(node, repair=repair).findings
    return finding


def write(node: Node, statement: str, *values: Any) -> None:
    node.database.write_and_wait(lambda connection: connection.execute(statement, values))


def fill(node: Node, days: int = 3) -> None:
    for day in range(days):
        store(node, *(reading(f"s{n}", NOW_US - day * DAY_US) for n in range(20)))


def test_nothing_is_found_where_nothing_is_wrong(node: Node) -> None:
    fill(node)
    now_us = node.clock.now_us()
    store(node, reading("now", now_us), reading("now", now_us - 1000, values={"pm25": 999.0}))
    store(node, reading("now", now_us, values={"pm25": 40.0}))
    anyio.run(node.ingest.keep, [reading("waiting")])
    report = report_of(node)
    assert report.findings == []
    assert (report.readings, report.waiting) == (62, 1)


def test_the_checksum_of_a_file_is_noted_when_it_is_written(node: Node) -> None:
    fill(node)
    for file in node.store.files:
        assert file.checksum == checksum_of(node.data_dir / file.path)


def test_a_file_of_an_older_version_gets_its_checksum(open_node: Callable[..., Node]) -> None:
    node = open_node()
    fill(node)
    write(node, "UPDATE files SET checksum = NULL")
    node = open_node()
    report = report_of(node)
    assert (report.findings, report.checksums_added) == ([], 3)
    node = open_node()
    assert all(file.checksum for file in node.store.files)


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_file_is_found_and_set_aside_and_the_rest_is_right(node: Node, way: str) -> None:
    fill(node)
    victim = only_file(node, "2025-11-22")
    spoil(victim, way)
    finding = only_finding(node)
    assert (finding.part, Path(finding.subject).name) == ("file", victim.name)
    assert "20 readings" in finding.message
    report = report_of(node, repair=True)
    assert not report.is_clean, "what is lost is told"
    assert stored(node, "count(*)") == [(40,)]
    assert only_finding(node).part == "quarantine"
    assert forget_lost(node.store, node.database, node.clock.now_us()) == 20
    assert report_of(node).findings == []


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("rows", "another readings"),
        ("min_at_us", "another first moment"),
        ("max_lng", "another bounding box"),
        ("max_received_us", "another last arrival"),
    ],
)
def test_a_manifest_that_says_otherwise_is_found(
    open_node: Callable[..., Node], column: str, words: str
) -> None:
    node = open_node()
    fill(node, days=1)
    write(node, f"UPDATE files SET {column} = {column} + 1")
    findings = report_of(open_node()).findings
    assert any(words in finding.message for finding in findings), findings


def test_readings_in_the_partition_of_another_day_are_found(
    open_node: Callable[..., Node],
) -> None:
    node = open_node()
    fill(node, days=1)
    source = only_file(node, "2025-11-23")
    folder = source.parent.with_name("created_date=2025-11-01")
    folder.mkdir()
    source.rename(folder / source.name)
    path = f"readings/{folder.name}/{source.name}"
    write(node, "UPDATE files SET path = ?, day = '2025-11-01'", path)
    assert "partition of another day" in only_finding(open_node()).message


def test_a_reading_stored_twice_is_found(open_node: Callable[..., Node]) -> None:
    node = open_node()
    fill(node, days=1)
    (file,) = node.store.files
    twin = msgspec.structs.replace(file, path=file.path.replace(".parquet", "-x.parquet"))
    node.store.full(twin).write_bytes(node.store.full(file).read_bytes())
    node.store.commit([twin], [])
    found = [finding for finding in report_of(node).findings if finding.part == "day"]
    assert "holds 20 readings more than once, such as s" in found[0].message


def test_readings_out_of_order_are_found(open_node: Callable[..., Node]) -> None:
    node = open_node()
    store(node, *(reading("s", NOW_US + n) for n in range(50)))
    path = only_file(node, "2025-11-23")
    copy = f"COPY (SELECT * FROM '{path}' ORDER BY epoch_us(timestamp) DESC) TO '{path}.tmp'"
    duckdb.connect().execute(f"{copy} (FORMAT parquet)")
    Path(f"{path}.tmp").rename(path)
    write(node, "UPDATE files SET checksum = NULL, bytes = ?", path.stat().st_size)
    assert "49 readings out of order" in only_finding(open_node()).message


def test_garbage_in_the_spool_is_found(node: Node) -> None:
    anyio.run(node.ingest.keep, [reading()])
    write(node, "INSERT INTO spool (readings, payload) VALUES (3, x'00ff00')")
    assert only_finding(node).part == "spool"


def test_totals_that_do_not_add_up_are_found(node: Node) -> None:
    fill(node, days=1)
    write(node, "UPDATE totals SET readings = readings + 5 WHERE outcome = 'stored'")
    assert "say 25 readings were stored; 20 are there" in only_finding(node).message


def test_a_rollup_that_differs_is_found_and_counted_anew(node: Node) -> None:
    now_us = node.clock.now_us()
    store(node, *(reading(f"s{n}", now_us) for n in range(5)))
    node.rollup._window._hourly["aqi_sum"] += 1
    finding = only_finding(node)
    assert (finding.part, finding.message) == ("rollup", "differs from the store at 5 sites")
    assert only_finding(node, repair=True).repaired == "counted anew from the store"
    assert report_of(node).findings == []


def test_an_intact_file_in_quarantine_is_brought_back(node: Node) -> None:
    fill(node)
    victim = only_file(node, "2025-11-22")
    content = victim.read_bytes()
    spoil(victim, "cut")
    report_of(node, repair=True)
    assert stored(node, "count(*)") == [(40,)]
    (node.data_dir / "quarantine" / victim.name).write_bytes(content)
    store(node, reading("s3", NOW_US - DAY_US))
    finding = only_finding(node, repair=True)
    assert finding.repaired == "19 readings are back, 1 were there already"
    assert stored(node, "count(*)") == [(60,)]
    assert report_of(node).findings == []
    store(node, reading("s4", NOW_US - DAY_US))
    assert stored(node, "count(*)") == [(60,)], "what came back is known to the next flush"


def test_a_damaged_file_is_brought_back_from_the_backup(
    open_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = str(tmp_path_factory.mktemp("disk") / "backups")
    node = open_node(backup_target=target)
    fill(node)
    copied: Copied = anyio.run(partial(back_up, node, target, keep=7))
    assert copied.catalogue.readings == 60
    spoil(only_file(node, "2025-11-22"), "flipped")
    report = report_of(node, repair=True)
    assert any(str(one.repaired).endswith("from a backup") for one in report.findings)
    assert report.is_clean, "what was mended fails no check --repair"
    assert stored(node, "count(*)") == [(60,)]
    assert report_of(node).findings == []


def test_a_file_that_is_not_listed_is_found_and_what_is_new_in_it_listed(node: Node) -> None:
    fill(node, days=1)
    path = only_file(node, "2025-11-23")
    extra = path.with_name("from-elsewhere.parquet")
    copy = f"COPY (SELECT * REPLACE ('t-' || sensor_id AS sensor_id) FROM '{path}') TO '{extra}'"
    duckdb.connect().execute(copy)
    assert "is not listed" in only_finding(node).message
    finding = report_of(node, repair=True).findings[0]
    assert finding.repaired == "20 readings are back, 0 were there already"
    assert stored(node, "count(*)") == [(40,)]


def test_a_file_that_compaction_is_making_real_is_not_taken_for_a_stray_one(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    compacting.fill(node, 3)
    before = stored(node, compacting.EVERYTHING)
    checking = threading.Thread(target=report_of, args=(node,), kwargs={"repair": True})

    def watch(step: str) -> None:
        if step == "folder synced" and checking.ident is None:
            checking.start()
            checking.join(1)  # it has to wait; if it does not, it is done by then

    monkeypatch.setattr(steps, "watcher", watch)
    [done] = compacting.compact_all(node)
    checking.join()
    assert done.rows == 600
    assert all(node.store.full(file).exists() for file in node.store.files)
    assert stored(node, compacting.EVERYTHING) == before
    assert report_of(node).findings == []


def test_a_file_that_is_listed_meanwhile_stays(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(node, days=1)
    (file,) = node.store.files
    strays = [node.store.full(file).with_name(f"{name}.parquet") for name in "ab"]
    for path in strays:
        renamed = f"'{path.stem}-' || sensor_id AS sensor_id"
        copy = f"COPY (SELECT * REPLACE ({renamed}) FROM '{node.store.full(file)}') TO '{path}'"
        duckdb.connect().execute(copy)
    names = [str(path.relative_to(node.data_dir)) for path in strays]
    size, checksum = strays[1].stat().st_size, checksum_of(strays[1])
    unlisted = [msgspec.structs.replace(file, path=names[1], bytes=size, checksum=checksum)]

    def watch(step: str) -> None:
        if step == "files listed" and unlisted:  # the first of them is back
            node.store.commit([unlisted.pop()], [])

    monkeypatch.setattr(steps, "watcher", watch)
    found = [one.subject for one in report_of(node, repair=True).findings if one.part == "file"]
    assert found == names[:1]
    assert stored(node, "count(*)") == [(60,)]


def test_the_command_tells_what_is_wrong_and_ends_with_1(
    start_node: Callable[..., NodeProcess],
) -> None:
    node = start_node(flush_interval_s=0.2, scrub_interval_s=0)
    node.post([sent(f"s{n}", 60) for n in range(300)], node.token())
    node.flush()
    fine = node.run("check")
    assert fine.stdout == "1 files with 300 readings and 0 waiting: no findings\n"
    victim = next(node.data_dir.glob("readings/*/*.parquet"))
    spoil(victim, "flipped")
    running = node.run("check", "--json", check=False)
    assert (running.returncode, running.stderr) == (1, "")
    (found,) = json.loads(running.stdout)["findings"]
    assert (found["part"], Path(found["subject"]).name) == ("file", victim.name)
    node.stop()
    resting = node.run("check", "--repair", check=False)
    assert (resting.returncode, resting.stderr) == (1, "")
    assert "cannot be mended" in resting.stdout
    assert node.run("check", "--forget-lost", check=False).returncode == 1
    assert node.run("check").stdout == "0 files with 0 readings and 0 waiting: no findings\n"


def test_a_file_is_not_damaged_because_the_node_stops(node: Node) -> None:
    fill(node)
    before = set(node.store.files)
    node.engine.close()
    with pytest.raises(Unavailable, match="stops"):
        report_of(node, repair=True)
    assert set(node.store.files) == before
