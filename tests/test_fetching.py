"""Getting what is published, and the pauses, samples and memory of one source; no node is there."""

from __future__ import annotations

import gzip
import json
import time
from contextlib import aclosing
from email.utils import formatdate
from typing import Any

import anyio
import pytest

from tests import published
from tests.publisher import Page, Publisher
from urbanos_edge.adapters import Candidate
from urbanos_edge.clock import DAY_US
from urbanos_edge.errors import EdgeError
from urbanos_edge.feeds import Feed
from urbanos_edge.pulls.errands import Brought, errand_of
from urbanos_edge.pulls.fetching import Clients, FetchFailed, Marks, Way
from urbanos_edge.pulls.samples import Samples
from urbanos_edge.pulls.turns import MAX_SAID, Said, turn_of

MONITOR = "airgradient-ecda3b1eaaaf"
CLIENTS = Clients()
GOOD = json.dumps([{"id": "a", "time": "2026-11-23T10:00:00Z", "pm25": 7}]).encode()


def brought(url: str, marks: Marks | None = None, **more: Any) -> list[Brought]:
    """What one errand for a JSON feed brings, of at most 1 MiB and within half a second."""
    feed = Feed(kind="json", url=url)
    way = Way(0.5, 1 << 20, **more)

    async def work() -> list[Brought]:
        async with CLIENTS.getter(way) as getter:
            run = errand_of(feed).run(getter, marks or Marks(), published.SINCE)
            async with aclosing(run) as pieces:
                return [piece async for piece in pieces]

    return anyio.run(work)


def failed(publisher: Publisher, page: Page) -> EdgeError:
    publisher.pages["/air.json"] = page
    with pytest.raises(EdgeError) as raised:
        brought(publisher.url + "/air.json")
    return raised.value


BOMB = gzip.compress(bytes(3 << 20))
PACKED = {"Content-Encoding": "gzip"}


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (Page(b"[{"), "the body is not JSON"),
        (Page(b"\xff" * 100), "the body is not JSON"),
        (Page(b'[{"id": "a", "time": "x", "dust": 1}]'), "no field is a quantity; there is: id"),
        (Page(b" " * (2 << 20)), "what came is over 1 MiB"),
        (Page(BOMB, headers=PACKED), "what came is over 1 MiB"),
        (Page(gzip.compress(GOOD)[:-9], headers=PACKED), "what came ends too early"),
        (Page(b"no gzip", headers=PACKED), "what came does not unpack"),
        (Page(b"[]", headers={"Content-Encoding": "br"}), "what came is packed in a way that was"),
        (Page(b"[]", headers={"Content-Length": "50"}), "it could not be reached: RemoteProtocol"),
        (Page(b"[]", pause_s=0.8), "there was no whole answer within 0.5 s"),
        (Page(status=302, headers={"Location": "/air.json"}), "it redirects more than 5 times"),
        (Page(status=302, headers={"Location": "ftp://x/"}), "it could not be reached: Unsupport"),
        (Page(status=302, headers={"Location": "http://x:y/"}), "it could not be reached: Remote"),
        (Page(status=302), "it answered 302"),
        (Page(status=304), "it answered 304"),
        (Page(status=404), "it answered 404"),
    ],
)
def test_what_cannot_be_used_is_told(publisher: Publisher, page: Page, said: str) -> None:
    assert failed(publisher, page).message.startswith(said)
    assert len(publisher.asked) == (6 if "redirects" in said else 1)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://127.0.0.1:9/x", "Connection refused"),
        ("http://nobody.invalid/x", "Name or service not known|Temporary failure"),
        ("https://{place}/x", "no TLS came about"),
    ],
)
def test_a_host_that_is_not_there_is_told(publisher: Publisher, address: str, why: str) -> None:
    with pytest.raises(FetchFailed, match=f"it could not be reached: ({why})"):
        brought(address.format(place=publisher.url.removeprefix("http://")))


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [
        (429, {"Retry-After": "4000"}, 4000),
        (503, {"Retry-After": "4000"}, 4000),
        (429, {"X-RateLimit-Reset": "40"}, 40),
        (429, {"Retry-After": "9" * 50}, 86_400),
        (503, {"Retry-After": "later"}, 0),
        (503, {"Retry-After": "Mon, 23 Nov 2026 10:00:00 GMT"}, 0),
        (500, {"X-RateLimit-Reset": "4000"}, 0),
    ],
)
def test_a_server_says_how_long_it_wants_to_be_left_alone(
    publisher: Publisher, status: int, headers: dict[str, str], wait_s: float
) -> None:
    error = failed(publisher, Page(status=status, headers=headers))
    assert isinstance(error, FetchFailed)
    assert (error.answered, error.wait_s) == (status, wait_s)


def test_it_may_say_so_by_a_date(publisher: Publisher) -> None:
    in_an_hour = formatdate(time.time() + 3600, usegmt=True)
    error = failed(publisher, Page(status=503, headers={"Retry-After": in_an_hour}))
    assert isinstance(error, FetchFailed)
    assert 3590 <= error.wait_s <= 3600


@pytest.mark.parametrize("header", ["X-RateLimit-Reset", "RateLimit-Reset"])
def test_it_may_say_so_by_the_seconds_since_1970(publisher: Publisher, header: str) -> None:
    for ahead_s, wait_s in ((600, 600), (-600, 0)):
        page = Page(status=429, headers={header: str(int(time.time()) + ahead_s)})
        error = failed(publisher, page)
        assert isinstance(error, FetchFailed)
        assert wait_s - 10 <= error.wait_s <= wait_s


def test_an_answer_that_did_not_change_brings_nothing(publisher: Publisher) -> None:
    headers = {"ETag": '"1"', "Last-Modified": "Mon, 23 Nov 2026 10:00:00 GMT"}
    publisher.pages["/air.json"] = Page(GOOD, headers=headers)
    [piece] = brought(publisher.url + "/air.json")
    assert piece.address == "127.0.0.1"
    assert brought(publisher.url + "/air.json", piece.marks) == []
    asked = publisher.asked[-1].headers
    assert asked["if-none-match"] == '"1"'
    assert asked["if-modified-since"] == headers["Last-Modified"]
    publisher.pages["/air.json"] = Page(GOOD, headers={"ETag": '"' + "x" * 2000 + '"'})
    [again] = brought(publisher.url + "/air.json", piece.marks)
    assert again.marks == Marks()


def test_a_packed_answer_is_unpacked(publisher: Publisher) -> None:
    publisher.pages["/air.json"] = Page(gzip.compress(GOOD), headers=PACKED)
    [piece] = brought(publisher.url + "/air.json")
    assert [one.values for one in piece.message if isinstance(one, Candidate)] == [{"pm25": 7.0}]
    assert publisher.asked[0].headers["accept-encoding"] == "gzip"


# --- one source -------------------------------------------------------------------------------


def test_pauses_double_up_to_four_intervals_and_are_as_long_as_asked_for() -> None:
    """Twice 300 s after the first failure, and up to a quarter more, so that nodes part."""
    turn = turn_of(Feed(kind="json", url="http://x/"))
    for expected_s in (600, 1200, 1200):
        turn.note_failure(FetchFailed("it answered 500", 500))
        assert expected_s - 1 <= turn.next_s - time.monotonic() <= expected_s * 1.25
    turn.note_failure(FetchFailed("it answered 429", 429, wait_s=4000))
    assert 3999 <= turn.next_s - time.monotonic() <= 5000
    turn.note_success(time.monotonic(), 0)
    assert 299 <= turn.next_s - time.monotonic() <= 300
    assert (turn.failures, turn.failed, turn.failure) == (0, 4, None)


def test_a_kept_wait_counts_if_the_clock_is_right_and_no_longer_than_it_can_be() -> None:
    """On a box that wakes up a month ago, what is due in a minute would be due in a month."""
    feed = Feed(kind="json", url="http://x/")
    before, after = turn_of(feed), turn_of(feed)
    before.note_success(time.monotonic() - 240, 0)
    kept = before.kept(now_us=30 * DAY_US)
    for now_us, is_sure, wait_s in ((30 * DAY_US, True, 60), (0, True, 300), (0, False, 0)):
        after.resume(kept, now_us, is_sure=is_sure)
        assert after.next_s - time.monotonic() == pytest.approx(wait_s, abs=5)
    before.note_failure(FetchFailed("it answered 429", 429, wait_s=4000))
    after.resume(before.kept(now_us=0), 0, is_sure=True)
    assert 3990 <= after.next_s - time.monotonic() <= 5000, "as the server asked for"


def test_a_monitor_that_is_switched_off_is_tried_every_five_minutes_in_the_end() -> None:
    turn = turn_of(Feed(kind="airgradient", url="http://x/"))
    for _ in range(100):
        turn.note_failure(FetchFailed("it could not be reached"))
    assert 299 <= turn.next_s - time.monotonic() <= 375


def test_a_source_forgets_the_oldest_of_what_it_said() -> None:
    said = Said()
    candidates = [
        Candidate(sensor_id=f"s{number}", timestamp=published.SINCE, values={"pm25": 1.0})
        for number in range(MAX_SAID + 1)
    ]
    said.remember(candidates)
    assert said.news([candidates[0], candidates[1], candidates[-1]]) == [candidates[0]]
    timeless = Candidate(sensor_id="s", values={"pm25": 1.0})
    said.remember([timeless])
    assert said.news([timeless]) == [timeless]


def sample(pm25: float | None, *, disagree: bool = False, **more: float) -> Candidate:
    values = {"pm25": pm25, **more}
    return Candidate(sensor_id=MONITOR, values=values, channels_disagree=disagree)


def test_the_moments_of_a_monitor_become_the_mean_of_their_minute() -> None:
    samples = Samples()
    given = [sample(1), sample(2), sample(None), sample(9, rco2=400), sample(4), sample(4)]
    assert [samples.add(one, 10.0 * index) for index, one in enumerate(given)] == [None] * 6
    over = samples.add(sample(100), 60.0)
    assert over == sample(4, rco2=400), "(1 + 2 + 9 + 4 + 4) / 5"
    assert samples.averaged == 6
    assert samples.close() == sample(100), "which the next minute begins with"
    assert samples.close() is None


def test_a_failed_measurement_is_not_in_the_mean_of_a_minute() -> None:
    """When its sensor does not answer, a monitor shows -1, and far less for a temperature."""
    samples = Samples()
    for index, given in enumerate((12.0, 14.0, -1.0)):
        samples.add(sample(given, temperature=-1000.99 if given < 0 else 5.0, co=-1.0), index)
    assert samples.close() == sample(13, temperature=5.0, co=-1.0), "of CO nothing else was said"


def test_samples_before_a_gap_are_of_no_minute() -> None:
    samples = Samples()
    samples.add(sample(1), 0.0)
    assert samples.add(sample(2), 60.0) is None
    assert samples.add(sample(4), 110.0) is None
    assert samples.add(sample(9), 120.0) == sample(3)


def test_channels_disagree_in_a_minute_when_they_do_in_most_of_it() -> None:
    for disagreeing, expected in ((2, False), (3, True)):
        samples = Samples()
        for index in range(4):
            samples.add(sample(1, disagree=index < disagreeing), float(index))
        closed = samples.close()
        assert closed is not None
        assert closed.channels_disagree is expected
