"""Cached bodies: built once, proven after a change, bounded."""

from __future__ import annotations

import anyio
import pytest

from urbanos_edge.cache import Cache, etag_of
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
        cache = Cache(max_bytes=2500)

        async def body() -> bytes:
            return bytes(1000)

        async def hit(key: str) -> bool:
            return (await cache.get(key, 60, lambda: 1, body))[1]

        assert [await hit(key) for key in ("a", "b", "a", "c")] == [False, False, True, False]
        assert [await hit(key) for key in ("a", "c", "b")] == [True, True, False]

    anyio.run(check)


def test_the_same_bytes_have_the_same_etag() -> None:
    assert etag_of(b"x") == etag_of(b"x") != etag_of(b"y")
    assert etag_of(b"x").startswith('"') and etag_of(b"x").endswith('"')
