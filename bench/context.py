"""What the benchmarks of one run share: rounds, folders, and peers started once."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from bench import dataset
from bench.dataset import Places, Shape, places
from bench.postgres import Postgres, cluster, load_latest, load_readings
from bench.tipg import tipg
from bench.tools import ROOT

CACHE: Final = ROOT / ".cache" / "bench"
FRESH_FOR_S: Final = 1800
"""A kept cluster that is older has lost too much of its last 24 hours."""
_QUICK_SENSORS: Final = 300
_QUICK_INTERVAL_S: Final = 43_200


class Bench:
    """Handed to every benchmark; what it starts ends with the run."""

    def __init__(self, stack: ExitStack, *, rounds: int, quick: bool, keep: Path | None) -> None:
        self.rounds = rounds
        self.quick = quick
        self._stack = stack
        self._keep = keep
        self._numbers = itertools.count()
        self._work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="urbanos-bench-")))
        self._work.chmod(0o711)  # PostgreSQL runs as a user of its own
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)

    def seconds(self, full: float) -> float:
        """How long something lasts: a fraction of it in a quick run."""
        return max(full / 10, 1.0) if self.quick else full

    def few(self, full: int) -> int:
        """How many of something: a few in a quick run."""
        return max(full // 8, 2) if self.quick else full

    def shape(self, shape: Shape) -> Shape:
        """A data set, or a small likeness of it in a quick run."""
        if not self.quick:
            return shape
        return Shape(min(60 * shape.interval_s, _QUICK_INTERVAL_S), _QUICK_SENSORS, 1)

    @property
    def city(self) -> Shape:
        """10 million readings a day."""
        return self.shape(dataset.TEN_MILLION)

    @property
    def spots(self) -> Places:
        return places(self.city.sensors)

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """A new folder's path, removed with what it holds when the block ends."""
        path = self._work / f"{name}-{next(self._numbers)}"
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def data(self, shape: Shape) -> Iterator[Path]:
        """A data directory to work on, filled up to now."""
        source = dataset.prepared(self.shape(shape), self._cache)
        with self.folder("data") as target:
            yield dataset.staged(source, target)

    @cached_property
    def postgres(self) -> Postgres:
        """The source design loaded with the city, started when first asked for."""
        source = dataset.prepared(self.city, self._cache)
        folder = (self._keep or self._work) / f"postgres-{self.city.name}"
        mark = folder.parent / f"{folder.name}.loaded"
        if folder.exists() and not _is_fresh(mark):
            shutil.rmtree(folder)
        postgres = self._stack.enter_context(cluster(folder))
        if not _is_fresh(mark):
            load_readings(postgres, source, self.spots)
            load_latest(postgres, source, self.spots)
            mark.touch()
        return postgres

    @cached_property
    def tipg(self) -> int:
        """The port of tipg over that cluster."""
        return self._stack.enter_context(tipg(self.postgres, self._work / "tipg.log"))

    @contextmanager
    def month(self) -> Iterator[Postgres]:
        """A second cluster with thirty days of fewer sensors."""
        shape = self.shape(dataset.MONTH)
        source = dataset.prepared(shape, self._cache)
        with self.folder("month") as folder, cluster(folder) as postgres:
            load_readings(postgres, source, places(shape.sensors), shape.days)
            yield postgres

    @cached_property
    def _cache(self) -> Path:
        """Where filled data directories lie; those of a quick run go with it."""
        cache = self._work / "prepared" if self.quick else self._keep or CACHE
        cache.mkdir(parents=True, exist_ok=True)
        return cache


def _is_fresh(mark: Path) -> bool:
    return mark.exists() and time.time() - mark.stat().st_mtime < FRESH_FOR_S
