"""A node that pulls from a publisher: opening it, pulling, and looking at what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import duckdb
import msgspec

from tests.publisher import Publisher
from urbanos_edge.clock import SECOND_US, to_rfc3339
from urbanos_edge.node import Node
from urbanos_edge.pulls.turns import Standing
from urbanos_edge.settings import load

HERE = {"lat": 60.171, "lng": 24.941}


class Pulling:
    """Opens a node that pulls from a publisher; each source is given by its kind and path."""

    def __init__(self, open_node: Callable[..., Node], publisher: Publisher) -> None:
        self._open_node = open_node
        self._url = publisher.url

    def __call__(self, *pull: dict[str, Any], **settings: Any) -> Node:
        feeds = [{**one, "url": self._url + one["url"]} for one in pull]
        checked = load({**settings, "pull": feeds}, environment={})
        return self._open_node(**msgspec.structs.asdict(checked))


def at(node: Node, ago_s: float = 60) -> str:
    return to_rfc3339(node.clock.now_us() - int(ago_s) * SECOND_US)


def rows(*given: tuple[str, str, float]) -> bytes:
    """Stations, times and PM2.5 as records of a feed, all at one place."""
    return json.dumps([{"id": i, "time": t, "pm25": v, **HERE} for i, t, v in given]).encode()


def pulled(node: Node, name: str | None = None) -> Standing:
    """How a source stands after it was asked at once; the only one when none is named."""
    [standing] = anyio.run(node.pulls.now, name)
    return standing


def run_for(node: Node, seconds: float) -> None:
    """Let a node fetch by itself for so long."""

    async def work() -> None:
        with anyio.move_on_after(seconds):
            await node.pulls.fetch_forever()

    anyio.run(work)


def stored(node: Node) -> list[tuple[str, str, float]]:
    """What is in the store once what waits was flushed: sensor, source and PM2.5."""
    anyio.run(node.flush)
    query = "SELECT sensor_id, source, pm25 FROM read_parquet(?) ORDER BY ALL"
    files = [str(path) for path in node.data_dir.glob("readings/*/*.parquet")]
    return duckdb.connect().execute(query, [files]).fetchall() if files else []


def letters(node: Node) -> int:
    return len(node.dead_letters.list(1000))


def wait_s(node: Node, standing: Standing) -> float:
    """How long a source is left alone from now on."""
    return (standing.next_at_us - node.clock.now_us()) / SECOND_US
