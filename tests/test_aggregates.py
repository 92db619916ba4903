"""Who pulls gets every change of every bucket once, exact, and learns of a restore."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import duckdb
import msgspec
import pytest

from tests.damage import settle_loss
from tests.readings import NOW_US, reading
from tests.test_backup import backed_up
from tests.test_flush import store
from urbanos_edge.api.aggregates import NotAcceptable, preferred
from urbanos_edge.backup.restore import find_backup, restore
from urbanos_edge.clock import HOUR_US, SECOND_US, Correction
from urbanos_edge.errors import Unprocessable
from urbanos_edge.hours.aggregates import AggregatePage, EpochOver, Page
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.reading import Timing

START_US = NOW_US // HOUR_US * HOUR_US
Key = tuple[str, str, str]


class Puller:
    """Pulls as docs/api.md says: an hour that comes takes the place of what was pulled of it."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.known: dict[Key, Any] = {}
        self.pulled = 0

    def pull(self, node: Node, limit: int) -> None:
        more = True
        while more:
            page = node.aggregates.page(self.cursor, limit, "json")
            told = msgspec.json.decode(page.body, type=AggregatePage)
            assert len(told.aggregates) <= limit
            for one in told.aggregates:
                self.pulled += 1
                for key, known in list(self.known.items()):
                    if key[0] == one.bucket_start and known.revision < one.revision:
                        del self.known[key]
                if one.cell is not None and one.quantity is not None:
                    self.known[one.bucket_start, one.cell, one.quantity] = one
            self.cursor, more = told.cursor, told.more

    @property
    def sums(self) -> dict[tuple[int, str], tuple[int, Decimal, Decimal]]:
        """Count, sum and sum of squares by hour of the day and quantity."""
        return {
            (datetime.fromisoformat(at).hour, quantity): (one.count, one.sum, one.sum_sq)
            for (at, _, quantity), one in self.known.items()
        }


def pm(sensor: str, hour: int, value: float, **more: Any) -> Any:
    return reading(sensor, START_US + hour * HOUR_US, values={"temperature": value}, **more)


def hour_of_day(hour: int) -> int:
    return datetime.fromtimestamp(START_US / 1e6 + hour * 3600, UTC).hour


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_a_puller_has_what_the_readings_give_whatever_its_pages(node: Node, limit: int) -> None:
    store(node, pm("a", 0, 1.5), pm("b", 0, 2.5), pm("a", 1, -4.0001), reading("c", START_US))
    puller = Puller()
    puller.pull(node, limit)
    both = (2, Decimal("4.0"), Decimal("8.5"))
    first, second = hour_of_day(0), hour_of_day(1)
    assert puller.sums == {
        (first, "temperature"): both,
        (first, "pm25"): (1, Decimal("12.3"), Decimal("151.29")),
        (first, "aqi"): puller.sums[first, "aqi"],
        (second, "temperature"): (1, Decimal("-4.0001"), Decimal("16.00080001")),
    }
    assert puller.pulled == 4
    puller.pull(node, limit)
    assert puller.pulled == 4, "nothing new"


def test_who_asks_before_there_is_anything_is_not_told_to_ask_again_at_once(node: Node) -> None:
    page = node.aggregates.page(None, 10, "json")
    assert not page.more
    assert not node.aggregates.page(str(page.cursor), 10, "json").more


def test_only_what_changed_comes_again_and_whole(open_node: Callable[..., Node]) -> None:
    node = open_node()
    store(node, pm("a", 0, 1.0), pm("a", 1, 2.0), pm("b", 1, 3.0))
    puller = Puller()
    puller.pull(node, 100)
    node = open_node()  # the cursor outlives a restart
    store(node, pm("b", 1, 4.0))
    puller.pulled = 0
    puller.pull(node, 100)
    assert puller.pulled == 1
    assert puller.sums[hour_of_day(1), "temperature"] == (2, Decimal(6), Decimal(20))


@pytest.mark.parametrize("is_found_by_reading", [False, True])
@pytest.mark.parametrize("is_back", [True, False])
def test_damage_takes_nothing_from_a_puller_until_it_is_given_up(
    node: Node, is_back: bool, is_found_by_reading: bool
) -> None:
    store(node, pm("a", 0, 1.0), pm("a", 1, 2.0))
    puller = Puller()
    puller.pull(node, 100)
    [damaged] = node.store.files
    path = node.store.full(damaged)
    content = path.read_bytes()
    path.unlink()
    if not is_found_by_reading:
        node.store.set_aside([(damaged, "is gone")])
    store(node, pm("b", 1, 4.0), pm("b", 2, 8.0))
    puller.pull(node, 100)
    counts = {hour: puller.sums[hour_of_day(hour), "temperature"][0] for hour in range(3)}
    assert counts == {0: 1, 1: 1, 2: 1}
    assert node.store.losses == 1
    settle_loss(node, path, content if is_back else None)
    puller.pull(node, 100)
    left = {hour: sums[0] for (hour, _), sums in puller.sums.items()}
    hours = {0: 1, 1: 2, 2: 1} if is_back else {1: 1, 2: 1}
    assert left == {hour_of_day(hour): count for hour, count in hours.items()}


def test_an_hour_that_was_emptied_is_told(node: Node) -> None:
    store(node, pm("a", 0, 1.0, timing=Timing.NODE_IN_DOUBT), pm("a", 1, 2.0))
    puller = Puller()
    puller.pull(node, 100)
    anyio.run(node.restamp, Correction(START_US, START_US + SECOND_US, 5 * HOUR_US))
    puller.pull(node, 100)
    assert {hour for hour, _ in puller.sums} == {hour_of_day(1), hour_of_day(5)}


def test_rows_are_the_same_in_all_formats(node: Node, tmp_path: Path) -> None:
    store(node, pm("a", 0, 1.5), pm("a", 2, -4.0001))
    pages = {kind: node.aggregates.page(None, 10, kind) for kind in ("json", "ndjson", "parquet")}
    rows = msgspec.json.decode(pages["json"].body)["aggregates"]
    assert [msgspec.json.decode(line) for line in pages["ndjson"].body.splitlines()] == rows
    first, second = START_US // SECOND_US, START_US // SECOND_US + 7200
    moments = [datetime.fromisoformat(row["bucket_start"]).timestamp() for row in rows]
    assert moments == [first, second]
    assert from_parquet(pages["parquet"], tmp_path) == [
        (first, "temperature", 1, Decimal("2.25"), 1),
        (second, "temperature", 1, Decimal("16.00080001"), 2),
    ]
    assert [row["sum_sq"] for row in rows] == [2.25, 16.00080001]
    assert len({page[1:] for page in pages.values()}) == 1, "the same cursor"


def from_parquet(page: Page, folder: Path) -> list[tuple[Any, ...]]:
    path = folder / "page.parquet"
    path.write_bytes(page.body)
    with duckdb.connect() as connection:
        query = (
            f"SELECT epoch(bucket_start)::BIGINT, quantity, count, sum_sq, revision FROM '{path}'"
        )
        return connection.execute(query).fetchall()


def test_after_a_restore_a_cursor_is_refused_and_says_why(
    open_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory
) -> None:
    shelf = str(tmp_path_factory.mktemp("shelf"))
    node = open_node()
    store(node, pm("a", 0, 1.0))
    backed_up(node, shelf)
    puller = Puller()
    puller.pull(node, 100)
    node.close()
    restore(*find_backup(shelf, None, None), node.data_dir, NOW_US, ignore_progress)
    node = open_node()
    with pytest.raises(EpochOver) as refused:
        puller.pull(node, 100)
    again = Puller()
    again.pull(node, 100)
    assert again.cursor is not None
    assert refused.value.details == {"epoch": again.cursor.split(".")[0]}
    assert again.sums == puller.sums


@pytest.mark.parametrize("text", ["7", "x.1.2", "0a.1", "0a.-1.0", "0a.1.2.3"])
def test_what_is_no_cursor_is_refused(node: Node, text: str) -> None:
    with pytest.raises(Unprocessable):
        node.aggregates.page(text, 10, "json")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "json"),
        ("application/vnd.apache.parquet", "parquet"),
        ("application/x-ndjson;q=0.5, application/json;q=0.4", "ndjson"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "json"),
    ],
)
def test_the_format_is_what_the_client_likes_best(accept: str, kind: str) -> None:
    assert preferred(accept) == kind


def test_a_client_that_likes_nothing_there_is_is_told(node: Node) -> None:
    with pytest.raises(NotAcceptable, match="application/json"):
        preferred("text/csv, application/json;q=0")
