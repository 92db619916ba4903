"""What every test may ask for: a node in this process, a real one of its own, the real data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.processes import NodeProcess
from tests.publisher import Publisher, publishing
from tests.pulling import Pulling
from urbanos_edge.node import Node
from urbanos_edge.settings import Settings

DATA = Path(
    os.environ.get("URBANOS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
).resolve()


# How long an example may take is no matter of the machine's other work.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

LONG = ("faults", "browser", "central")
"""Folders whose files take longest: begun first, they do not keep one process at work alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name not in LONG)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real readings, maps and vectors; the test is skipped without it."""
    if not DATA.is_dir():
        pytest.skip(f"no test data at {DATA}; set URBANOS_TEST_DATA to where it lies")
    return DATA


@pytest.fixture
def open_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Open nodes on one data directory, one after the other; the last is closed at the end."""
    opened: list[Node] = []

    def reopen(**settings: object) -> Node:
        if opened:
            opened.pop().close()
        opened.append(Node(Settings(**settings), tmp_path))  # type: ignore[arg-type]
        return opened[-1]

    yield reopen
    for node in opened:
        node.close()


@pytest.fixture
def node(open_node: Callable[..., Node]) -> Node:
    """A node in this process, on an empty directory, that flushes when told."""
    return open_node()


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Start real nodes as processes of their own; all are ended by their id afterwards."""
    started: list[NodeProcess] = []

    def start(
        data_dir: Path = tmp_path / "node", port: int | None = None, **settings: object
    ) -> NodeProcess:
        started.append(NodeProcess(data_dir, settings, port=port))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One real node for a whole module, flushing every half second.

    Nobody is anybody's neighbour there: tests send what they like from places side by side.
    """
    settings = {"flush_interval_s": 0.5, "neighbour_radius_km": 0}
    process = NodeProcess(tmp_path_factory.mktemp("node"), settings)
    yield process
    process.stop()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """A server that publishes what the test tells it to."""
    with publishing() as made:
        yield made


@pytest.fixture
def pulling(open_node: Callable[..., Node], publisher: Publisher) -> Pulling:
    """Open nodes that pull from the publisher."""
    return Pulling(open_node, publisher)
