"""Cached bodies: built once, proven after a change, bounded."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from urbanos_edge.cache.cache import MAX_BYTES, Cache, etag_of
from urbanos_edge.cache.shelf import Shelf
from urbanos_edge.errors import StorageUnavailable


class Source:
    """Something to cache, with a revision, that counts how often it is built."""

    def __init__(self) -> None:
        self.revision = 1
        self.built = 0
        self.gate = anyio.Event()
        self.gate.set()

    async def build(self) -> bytes:
        self.built += 1
        await self.gate.wait()
        return b"revision %d" % self.revision


async def get(cache: Cache, source: Source, ttl_s: float = 60) -> tuple[bytes, bool]:
    entry, hit = await cache.get("key", ttl_s, lambda: source.revision, source.build)
    return entry.body, hit


def test_a_second_request_is_a_hit() -> None:
    async def check() -> None:
        cache, source = Cache(), Source()
        assert await get(cache, source) == (b"revision 1", False)
        assert await get(cache, source) == (b"revision 1", True)
        assert source.built == 1

    anyio.run(check)


def test_what_is_built_at_once_is_kept_and_proven_like_everything_else() -> None:
    async def check() -> None:
        cache, source = Cache(), Source()

        def now() -> tuple[bytes, bool]:
            entry, hit = cache.get_at_once(
                "key", 60, lambda: source.revision, lambda: b"revision %d" % source.revision
            )
            return entry.body, hit

        assert now() == (b"revision 1", False)
        assert await get(cache, source) == (b"revision 1", True)
        source.revision = 2
        assert now() == (b"revision 1", True)
        cache.something_changed()
        assert now() == (b"revision 2", False)
        assert source.built == 0

    anyio.run(check)


def test_what_did_not_change_is_not_built_again_even_after_its_time() -> None:
    async def check() -> None:
        cache, source = Cache(), Source()
        await get(cache, source, ttl_s=0)
        cache.something_changed()
        assert await get(cache, source, ttl_s=0) == (b"revision 1", True)
        assert source.built == 1

    anyio.run(check)


def test_what_changed_is_built_again_before_its_time() -> None:
    async def check() -> None:
        cache, source = Cache(), Source()
        await get(cache, source)
        source.revision = 2
        assert await get(cache, source) == (b"revision 1", True)
        cache.something_changed()
        assert await get(cache, source) == (b"revision 2", False)

    anyio.run(check)


def test_many_who_ask_at_once_share_one_build() -> None:
    async def check() -> None:
        cache, source = Cache(), Source()
        source.gate = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(get, cache, source)
            await anyio.wait_all_tasks_blocked()
            source.gate.set()
        assert source.built == 1

    anyio.run(check)


def test_a_builder_that_is_given_up_does_not_take_the_others_with_it() -> None:
    async def check() -> None:
        cache, source = Cache(), Source()
        source.gate = anyio.Event()
        answers: list[tuple[bytes, bool]] = []

        async def ask() -> None:
            answers.append(await get(cache, source))

        async with anyio.create_task_group() as tasks:
            first = anyio.CancelScope()

            async def ask_and_leave() -> None:
                with first:
                    await get(cache, source)

            tasks.start_soon(ask_and_leave)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            first.cancel()
            await anyio.wait_all_tasks_blocked()
            source.gate.set()
        assert answers == [(b"revision 1", False)]

    anyio.run(check)


def test_a_failed_build_is_told_and_not_kept() -> None:
    async def check() -> None:
        cache, source = Cache(), Source()

        async def fail() -> bytes:
            raise StorageUnavailable("on purpose")

        with pytest.raises(StorageUnavailable):
            await cache.get("key", 60, lambda: 1, fail)
        assert await get(cache, source) == (b"revision 1", False)

    anyio.run(check)


def test_the_longest_unused_gives_way_when_it_is_full() -> None:
    async def check() -> None:
        cache = Cache(max_bytes=8500)

        async def body() -> bytes:
            return bytes(1000)

        async def hit(key: str) -> bool:
            return (await cache.get(key, 60, lambda: 1, body))[1]

        assert [await hit(key) for key in "abcdefghai"] == [False] * 8 + [True, False]
        assert [await hit(key) for key in "acdefghib"] == [True] * 8 + [False]

    anyio.run(check)


def test_the_same_bytes_have_the_same_etag() -> None:
    assert etag_of(b"x") == etag_of(b"x") != etag_of(b"y")
    assert etag_of(b"x").startswith('"') and etag_of(b"x").endswith('"')


# --- what lasts lies on the disk, too ---


@contextmanager
def opened(folder: Path, **more: Any) -> Iterator[Cache]:
    cache = Cache(Shelf(folder, **more))
    yield cache
    cache.close()


async def get_lasting(cache: Cache, source: Source, ttl_s: float = 300) -> tuple[bytes, bool]:
    entry, hit = await cache.get("key", ttl_s, lambda: source.revision, source.build, lasting=True)
    return entry.body, hit


def test_what_lasts_is_there_after_a_restart(tmp_path: Path) -> None:
    source = Source()
    with opened(tmp_path) as cache:
        assert anyio.run(get_lasting, cache, source) == (b"revision 1", False)
    with opened(tmp_path) as cache:
        assert anyio.run(get_lasting, cache, source) == (b"revision 1", True)
    assert source.built == 1


def test_what_has_changed_since_is_built_anew(tmp_path: Path) -> None:
    source = Source()
    with opened(tmp_path) as cache:
        anyio.run(get_lasting, cache, source)
    source.revision = 2
    with opened(tmp_path) as cache:
        assert anyio.run(get_lasting, cache, source) == (b"revision 2", False)


def test_what_lives_a_short_while_never_touches_the_disk(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        anyio.run(get, cache, Source())
        with closing(sqlite3.connect(tmp_path / "cache.db")) as database:
            assert database.execute("SELECT count(*) FROM Cache").fetchone() == (0,)


def test_the_shelf_is_bounded(tmp_path: Path) -> None:
    async def fill(cache: Cache) -> None:
        async def body() -> bytes:
            return bytes(100_000)

        for number in range(100):
            await cache.get(number, 300, lambda: 1, body, lasting=True)

    with opened(tmp_path, max_bytes=1_000_000) as cache:
        anyio.run(fill, cache)
    held = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert held < 2_000_000


def test_a_body_as_large_as_memory_does_not_push_out_the_others(tmp_path: Path) -> None:
    async def check() -> None:
        cache, source = Cache(), Source()
        await get(cache, source)

        async def large() -> bytes:
            return bytes(MAX_BYTES)

        await cache.get("large", 60, lambda: 1, large)
        assert await get(cache, source) == (b"revision 1", True)

    anyio.run(check)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("where", ["value", "file"])
def test_a_planted_pickle_is_not_executed(tmp_path: Path, where: str) -> None:
    folder, fuse = tmp_path / "cache", tmp_path / "executed"
    source = Source()
    with opened(folder) as cache:
        anyio.run(get_lasting, cache, source)
    planted = pickle.dumps(Bomb(fuse))
    if where == "file":
        (folder / "planted.val").write_bytes(planted)
    with closing(sqlite3.connect(folder / "cache.db")) as database:
        values = (planted, None) if where == "value" else (None, "planted.val")
        database.execute("UPDATE Cache SET mode = 4, value = ?, filename = ?", values)
        database.commit()
    with opened(folder) as cache:
        assert anyio.run(get_lasting, cache, source) == (b"revision 1", False)
    assert not fuse.exists()
    pickle.loads(planted)
    assert fuse.exists(), "the bomb would not have gone off anyway"


def test_a_damaged_shelf_costs_a_body_made_anew_and_no_more(tmp_path: Path) -> None:
    source = Source()
    (tmp_path / "cache.db").write_bytes(b"garbage" * 1000)
    with opened(tmp_path) as cache:
        assert anyio.run(get_lasting, cache, source) == (b"revision 1", False)
    with opened(tmp_path) as cache:
        assert anyio.run(get_lasting, cache, source) == (b"revision 1", True)


def test_a_shelf_that_cannot_be_written_costs_nothing_but_the_shelf(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with opened(blocked / "cache") as cache:
        assert anyio.run(get_lasting, cache, Source()) == (b"revision 1", False)
