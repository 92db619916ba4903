"""A node that was offline for weeks, in full: a line that is cut, then one that is thin."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import anyio
import msgspec

from tests.central.conftest import Centre, opened
from tests.central.cutting import cut_line
from tests.central.mirror import counted, told
from tests.faults.figures import Figures
from tests.postgres import Postgres, scratch
from tests.readings import reading
from urbanos_edge.clock import HOUR_US
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings
from urbanos_edge.sync import central
from urbanos_edge.sync.central import CentreUnavailable

SENSORS: Final = 50
VALUES: Final = {"pm25": 12.3, "pm10": 20.1, "temperature": 4.5, "humidity": 81.0}
DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
THIN_S: Final = 180.0
"""How long the second backfill takes on its thin line."""


def catch_up_after(folder: Path, days: int) -> Iterator[Figures]:
    """Be cut off from the centre for so many days, then catch up twice."""
    with _centre() as (centre, dsn):
        settings = Settings(sync_dsn=dsn, node_id="north", sync_max_mib_s=0)
        node = Node(settings, folder)
        anyio.run(_fill, node, days)
        node.hours.count_all()
        node.close()
        yield _over_a_cut_line(settings, folder, centre)
        yield _over_a_thin_line(settings, folder, centre)


def _over_a_cut_line(settings: Settings, folder: Path, centre: Centre) -> Figures:
    figures = Figures("sync over a line that is cut")
    with cut_line(centre.postgres, 50) as line:
        settings = msgspec.structs.replace(settings, sync_dsn=line.through(settings.sync_dsn))
        node = Node(settings, folder)
        sent = 0
        while not sent:
            figures.rounds += 1
            began_s = time.monotonic()
            with suppress(CentreUnavailable):
                sent = anyio.run(node.sync.catch_up).buckets
        took_s = time.monotonic() - began_s
        _judge(figures, node, centre)
        replayed = anyio.run(node.sync.bring_everything).buckets
    node.close()
    figures.more = {"cuts": line.made, "replayed": replayed}
    figures.more["buckets a second behind them"] = round(sent / took_s)
    return figures


def _over_a_thin_line(settings: Settings, folder: Path, centre: Centre) -> Figures:
    """All of it again at a rate at which it takes minutes, while readings arrive."""
    figures = Figures("sync over a thin line")
    [(size,)] = centre.rows("SELECT count(*) * 100 / 1048576.0 FROM pollution_aggregates")
    centre.owner.execute(b"DELETE FROM pollution_aggregates")
    thin = msgspec.structs.replace(settings, sync_max_mib_s=float(size) / THIN_S)
    node = Node(thin, folder)
    lags_s: list[float] = []

    async def live() -> None:
        while True:
            await node.ingest.keep([reading("live", node.clock.now_us())])
            await node.flush()
            lags_s.append(node.sync.standing().live_lag_s)
            await anyio.sleep(1)

    async def work() -> float:
        began_s = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live)
            await node.sync.bring_everything()
            tasks.cancel_scope.cancel()
        return anyio.current_time() - began_s

    took_s = anyio.run(work)
    anyio.run(node.sync.catch_up)
    figures.rounds = 1
    _judge(figures, node, centre)
    node.close()
    figures.more = {"backfill s": round(took_s), "live lag s max": round(max(lags_s), 1)}
    if max(lags_s) > 60:
        figures.complaints.append(f"what is new waited for {max(lags_s):.0f} s")
    return figures


def _judge(figures: Figures, node: Node, centre: Centre) -> None:
    """Hold all buckets at the centre against what the node's files give."""
    here, there = counted(node), told(centre, "north")
    figures.wrong = sum(here.get(key) != there.get(key) for key in here.keys() | there.keys())
    if figures.wrong:
        figures.complaints.append(f"{figures.wrong} buckets differ")


async def _fill(node: Node, days: int) -> None:
    this_us = node.clock.now_us() // HOUR_US * HOUR_US
    for back in range(4, days * 24):
        at_us = this_us - back * HOUR_US
        await node.ingest.keep(
            [
                reading(f"s{number}", at_us, lat=60 + number / 100, values=VALUES)
                for number in range(SENSORS)
            ]
        )
    await node.flush()


@contextmanager
def _centre() -> Iterator[tuple[Centre, str]]:
    """A centre that keeps what it commits, and the address of a node there."""
    with scratch() as folder:
        cluster = Postgres(folder, DURABLE)
        cluster.initialise()
        with cluster.running():
            with central.connected(cluster.create("centre")) as connection:
                central.migrate(connection)
            with opened(cluster, "centre") as centre:
                yield centre, centre.add_node("north")
