"""A played node and an archive to send to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replay.played import PlayedNode, archive_of


@pytest.fixture
def node() -> Iterator[PlayedNode]:
    played = PlayedNode()
    played.start()
    yield played
    played.stop()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """5,000 rows, one of them without a value, at line 2,502."""
    return archive_of(tmp_path / "archive.csv", 5_000, empty=2_500)
