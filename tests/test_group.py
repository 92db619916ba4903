"""Requests that wait for the disk together are committed together, and answered after that."""

from __future__ import annotations

import anyio
import pytest

from tests.readings import reading
from urbanos_edge.adapters import Candidate, Location
from urbanos_edge.batch import unpack
from urbanos_edge.errors import StorageUnavailable, Unavailable
from urbanos_edge.ingest import group as group_module
from urbanos_edge.ingest.group import Groups
from urbanos_edge.ingest.spool import Spool
from urbanos_edge.node import OWN_TOKEN, Node


def candidate(number: int) -> Candidate:
    return Candidate(
        sensor_id=f"s{number}", location=Location(60.1, 24.9), values={"pm25": float(number)}
    )


def test_requests_that_come_together_share_one_commit(node: Node) -> None:
    async def send_all() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(node.ingest.accept, [candidate(number)], OWN_TOKEN)

    anyio.run(send_all)
    [entry] = node.spool.take(1000)
    assert entry.readings == 50 == node.spool.depth
    assert len(unpack([entry.payload])) == 50
    assert len(node.sensors) == 50


def test_an_answer_comes_after_the_commit(node: Node) -> None:
    async def send_one() -> None:
        await node.ingest.accept([candidate(1)], OWN_TOKEN)
        assert [entry.readings for entry in node.spool.take(10)] == [1]

    anyio.run(send_one)


def test_when_the_disk_fails_nobody_is_told_otherwise(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageUnavailable("the disk failed")

    refused = []

    async def send(number: int) -> None:
        try:
            await node.ingest.accept([candidate(number)], OWN_TOKEN)
        except StorageUnavailable:
            refused.append(number)

    async def send_all() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(send, number)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "append", fail)
        anyio.run(send_all)
    assert sorted(refused) == [0, 1, 2]
    assert (node.spool.depth, len(node.sensors)) == (0, 0)
    anyio.run(node.ingest.keep, [reading()])
    assert node.spool.depth == 1


def test_who_leaves_before_the_commit_takes_nobody_along(node: Node) -> None:
    async def send_all() -> None:
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await node.ingest.accept([candidate(0)], OWN_TOKEN)
            tasks.start_soon(node.ingest.accept, [candidate(1)], OWN_TOKEN)

    anyio.run(send_all)
    sensors = set(unpack(entry.payload for entry in node.spool.take(10)).labels)
    assert "s1" in sensors


def test_a_full_group_takes_no_further_request(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "GROUP_READINGS", 2)

    async def send_all() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(node.ingest.accept, [candidate(number)], OWN_TOKEN)

    anyio.run(send_all)
    assert [entry.readings for entry in node.spool.take(10)] == [2, 2, 1]


@pytest.mark.parametrize(("name", "most"), [("MAX_WAITING", 3), ("MAX_WAITING_READINGS", 3)])
def test_beyond_what_may_wait_a_request_is_refused(
    node: Node, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(group_module, name, most)
    refused = []

    async def send(number: int) -> None:
        try:
            await node.ingest.accept([candidate(number)], OWN_TOKEN)
        except Unavailable as refusal:
            refused.append(refusal)

    async def send_all() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(send, number)

    anyio.run(send_all)
    assert [refusal.code for refusal in refused] == ["overloaded"] * 2
    assert node.spool.depth == 3


def test_what_waits_counts_against_the_room_of_the_spool(node: Node) -> None:
    groups = Groups(node.database, Spool(node.database, limit=5), node.sensors)
    groups.open().packing.add([reading(f"s{number}") for number in range(4)])
    groups.check_room(1)
    with pytest.raises(Unavailable) as refusal:
        groups.check_room(2)
    assert refusal.value.code == "spool_full"
