"""Reads go to the replicas that are not behind, and on whatever becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from psycopg.conninfo import make_conninfo

from tests.central.conftest import Centre, opened
from tests.central.cutting import pooled
from tests.central.serving import CentralProcess, reader_of, replica_of
from tests.central.test_answers import cell_at, put_bucket
from tests.postgres import Postgres, scratch
from tests.processes import wait_until
from urbanos_edge.centre.servers import MAX_CONNECTIONS, Connection, Servers, Standing
from urbanos_edge.grid import tile_at
from urbanos_edge.sync import central
from urbanos_edge.sync.central import CentreUnavailable

PLACE = (60.171, 24.941)
GRID = f"/api/v1/grids/{tile_at(*PLACE, 14).grid_id}"


class Pair(NamedTuple):
    """A centre, its primary and a replica, and who may read."""

    centre: Centre
    replica: Postgres
    dsn: str

    @property
    def replica_dsn(self) -> str:
        return make_conninfo(self.dsn, port=self.replica.port)


@contextmanager
def paired() -> Iterator[Pair]:
    with ExitStack() as stack:
        settings = {"synchronous_commit": "local"}  # else news come before what they tell of
        primary = Postgres(stack.enter_context(scratch()), settings)
        primary.initialise()
        stack.enter_context(primary.running())
        with central.connected(primary.create("centre")) as connection:
            central.migrate(connection)
        centre = stack.enter_context(opened(primary, "centre"))
        dsn = reader_of(centre)
        yield Pair(centre, stack.enter_context(replica_of(primary)), dsn)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with paired() as made:
        yield made


async def port_of(connection: Connection) -> int:
    """Which server answers."""
    row = await (await connection.execute("SELECT inet_server_port()")).fetchone()
    assert row is not None
    return int(row[0])


def asked(servers: Servers, times: int = 6) -> set[int]:
    """The ports of the servers that answer so many questions."""

    async def work() -> set[int]:
        async with servers.opened():
            return {await servers.read(port_of) for _ in range(times)}

    return anyio.run(work)


def pause(replica: Postgres) -> None:
    """Let it fall behind from now on."""
    with replica.connect() as owner:
        owner.execute("SELECT pg_wal_replay_pause()")
        state = b"SELECT pg_get_wal_replay_pause_state()"
        wait_until(lambda: owner.execute(state).fetchone() == ("paused",), 30)


def go_on(replica: Postgres) -> None:
    with replica.connect() as owner:
        owner.execute("SELECT pg_wal_replay_resume()")


def test_replicas_are_read_in_turn_and_the_primary_is_spared(pair: Pair) -> None:
    with replica_of(pair.centre.postgres) as second:
        replicas = [pair.replica_dsn, make_conninfo(pair.dsn, port=second.port)]
        assert asked(Servers(pair.dsn, replicas)) == {pair.replica.port, second.port}


def test_without_replicas_the_primary_is_read(pair: Pair) -> None:
    assert asked(Servers(pair.dsn)) == {pair.centre.postgres.port}


def test_a_server_that_is_busy_is_not_taken_for_a_dead_one(pair: Pair) -> None:
    """Who finds no connection free is told to come again, and nobody else is asked more for it."""
    servers = Servers(pair.dsn, [pair.replica_dsn], max_connections=1)
    done = anyio.Event()

    async def hold(connection: Connection) -> None:
        await done.wait()

    async def work() -> None:
        async with servers.opened(), anyio.create_task_group() as tasks:
            tasks.start_soon(servers.read, hold)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(CentreUnavailable, match="too many questions") as refused:
                await servers.read(port_of)
            assert refused.value.retry_after_s
            await servers.look()
            assert [server.state for server in servers.standing()] == ["primary", "replica"]
            done.set()
            assert await servers.read(port_of) == pair.replica.port

    anyio.run(work)


def test_two_processes_and_the_nodes_fit_into_what_postgresql_has() -> None:
    """A process also looks at each server and listens to one, on connections of their own."""
    assert 2 * (MAX_CONNECTIONS + 2) < 100 / 2


def test_a_pool_that_deals_out_connections_may_stand_between(pair: Pair) -> None:
    with pooled(pair.replica, pair.replica_dsn) as (through,):
        assert asked(Servers(pair.dsn, [through])) == {pair.replica.port}


def test_a_replica_that_nobody_hears_of_costs_no_answer(pair: Pair) -> None:
    nobody = make_conninfo(pair.dsn, port=1)
    assert asked(Servers(pair.dsn, [nobody])) == {pair.centre.postgres.port}
    assert asked(Servers(nobody, [pair.replica_dsn])) == {pair.replica.port}
    with pytest.raises(CentreUnavailable, match="none of the centre's servers answers"):
        asked(Servers(nobody, [nobody]), 1)


def test_a_replica_that_is_behind_is_not_read_until_it_is_there(pair: Pair) -> None:
    primary = pair.centre.postgres.port
    servers = Servers(pair.dsn, [pair.replica_dsn], max_lag_s=0.4)

    async def work() -> tuple[int, Standing, int]:
        async with servers.opened():
            await anyio.to_thread.run_sync(pause, pair.replica)
            put_bucket(pair.centre, "lag", cell_at(*PLACE), [10])
            await servers.look()
            await anyio.sleep(0.6)
            await servers.look()
            asked, standing = await servers.read(port_of), servers.standing()[1]
            await anyio.to_thread.run_sync(go_on, pair.replica)
            with anyio.fail_after(10):
                while not servers.readable:
                    await anyio.sleep(0.05)
                    await servers.look()
            return asked, standing, await servers.read(port_of)

    asked_behind, standing, asked_then = anyio.run(work)
    assert (asked_behind, asked_then) == (primary, pair.replica.port)
    assert (standing.state, (standing.behind_bytes or 0) > 0) == ("behind", True)


def test_news_wait_for_the_replicas_that_are_read(pair: Pair) -> None:
    """Else who fetches at once would get, and the cache would keep, what was there before."""
    servers = Servers(pair.dsn, [pair.replica_dsn], max_lag_s=30)

    async def count(connection: Connection) -> int:
        query = "SELECT count(*) FROM pollution_aggregates WHERE node_id = 'news'"
        row = await (await connection.execute(query)).fetchone()
        return int(row[0]) if row else 0

    async def work() -> tuple[int, int, int]:
        async with servers.opened():
            await anyio.to_thread.run_sync(pause, pair.replica)
            put_bucket(pair.centre, "news", cell_at(*PLACE), [10])
            place = pair.centre.value("SELECT (pg_current_wal_flush_lsn() - '0/0')::BIGINT")
            before = await servers.read(count)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, go_on, pair.replica)
                await servers.caught_up(place)
                after = await servers.read(count)
            return before, after, await servers.read(port_of)

    assert anyio.run(work) == (0, 1, pair.replica.port)


def test_served_answers_go_on_when_a_replica_stops_and_another_is_promoted(tmp_path: Path) -> None:
    """Two processes on one port over a primary and two replicas, of which one server is left."""
    with ExitStack() as stack:
        pair = stack.enter_context(paired())
        primary = pair.centre.postgres
        put_bucket(pair.centre, "a", cell_at(*PLACE), [10, 30])
        with replica_of(primary) as second:
            replicas = [pair.replica_dsn, make_conninfo(pair.dsn, port=second.port)]
            served = CentralProcess(tmp_path / "one.log", pair.dsn, replicas)
            stack.callback(served.stop)
            other = CentralProcess(tmp_path / "two.log", pair.dsn, replicas, served.port)
            stack.callback(other.stop)
            assert served.states() == ["primary", "replica", "replica"]
            assert told(served) == (2, 20.0, 30)
        assert told(served) == (2, 20.0, 30), "one replica has stopped"
        wait_until(lambda: served.states() == ["primary", "replica", "unreachable"], 10)
        primary.tool("pg_ctl", "stop", "-m", "fast", "-D", str(primary.data))
        assert told(served) == (2, 20.0, 30), "the primary has, too"
        with pair.replica.connect() as owner:
            owner.execute("SELECT pg_promote()")
        wait_until(lambda: served.states() == ["unreachable", "primary", "unreachable"], 10)
        with pair.replica.connect("centre") as owner:
            promoted = Centre(pair.replica, "centre", owner)
            put_bucket(promoted, "b", cell_at(*PLACE), [80])
            hour = promoted.value("SELECT extract(EPOCH FROM date_trunc('hour', now()))::BIGINT")
            news = f'{{"node_id":"b","since":{hour - 3600},"until":{hour}}}'
            wait_until(lambda: _listens(promoted), 10, served.log)
            promoted.value("SELECT pg_notify('urbanos_aggregates', %s)", news)
        wait_until(lambda: told(served) == (3, 40.0, 80), 10, served.log)
        assert (served.stop(), other.stop()) == (0, 0)


def told(served: CentralProcess) -> tuple[Any, ...]:
    answer = served.client.get(GRID)
    assert answer.status_code == 200, answer.text
    grid = answer.json()
    return grid["data_count"], grid["avg_aqi"], grid["max_aqi"]


def _listens(centre: Centre) -> bool:
    """Whether both processes listen there; the last statement of such a connection tells it."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^LISTEN urbanos_readings'"
    return bool(centre.value(query) == 2)
