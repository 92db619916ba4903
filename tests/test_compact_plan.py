"""What compaction finds due, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.compacting import NUMBER
from urbanos_edge.clock import DAY_US, HOUR_US, SECOND_US
from urbanos_edge.store import compact
from urbanos_edge.store.compact import HOURLY, LATE, PIECES, QUIET_US, SEALED, Job, plan
from urbanos_edge.store.manifest import File
from urbanos_edge.store.store import start_of

FLUSH_US = 10 * SECOND_US
MOST_OPEN, MOST_SEALED = 89, 4


def file(day: str, received_us: int, kind: str = "", rows: int = 100) -> File:
    suffix = f"-{kind}" if kind else ""
    path = f"readings/created_date={day}/{next(NUMBER):016x}-00{suffix}.parquet"
    start_us = start_of(day)
    return File(path, day, rows, rows * 20, start_us, start_us, received_us, 24.0, 60.0, 25.0, 61.0)


def outcome(job: Job) -> list[File]:
    """The files a job leaves, without writing any."""
    newest_us = max(one.max_received_us for one in job.files)
    return [file(job.day, newest_us, job.kind, job.rows // job.pieces) for _ in range(job.pieces)]


def settled(files: Sequence[File], now_us: int, quiet_us: int = QUIET_US) -> list[File]:
    """The files once everything due is done, which must end."""
    found = list(files)
    for _ in range(100):
        jobs = plan(found, now_us, quiet_us)
        if not jobs:
            return found
        gone = {one.path for job in jobs for one in job.files}
        assert len(gone) == sum(len(job.files) for job in jobs), "a file in two jobs"
        found = [one for one in found if one.path not in gone]
        found += [made for job in jobs for made in outcome(job)]
    raise AssertionError("it never ends")


def test_a_day_of_flushes_every_ten_seconds_never_has_more_than_89_files() -> None:
    start_us = start_of("2026-11-20")
    files: list[File] = []
    most, rewritten = 0, 0
    for number in range(8640):
        now_us = start_us + (number + 1) * FLUSH_US + 3 * SECOND_US
        files.append(file("2026-11-20", now_us - SECOND_US))
        most = max(most, len(files))
        if number % 6 == 5:  # the jobs are done once a minute only
            rewritten += sum(job.rows for job in plan(files, now_us))
            files = settled(files, now_us)
            assert len(files) <= 24 + 59
    assert most <= MOST_OPEN
    assert rewritten / (8640 * 100) < 6, "each reading is written a few times only"
    later_us = start_us + DAY_US + compact.MARGIN_US + QUIET_US
    assert {one.kind for one in settled(files, later_us)} == {SEALED}


@examples(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.integers(-2 * HOUR_US, 4 * HOUR_US),  # how far the clock moves on, or back
            st.integers(-30 * HOUR_US, 30 * HOUR_US),  # where its newest arrival was stamped
            st.sampled_from([1, 9, 70]),
            st.sampled_from([1, 1000, 2_000_000]),
        ),
        max_size=12,
    )
)
def test_whatever_arrives_whenever_the_files_of_a_day_stay_few(
    bursts: list[tuple[int, int, int, int]],
) -> None:
    start_us = start_of("2026-11-20")
    now_us = start_us - HOUR_US
    files: list[File] = []
    for moved_us, off_us, count, rows in bursts:
        now_us += moved_us
        for _ in range(count):
            files = settled([*files, file("2026-11-20", now_us + off_us, rows=rows)], now_us)
        sealed = sum(one.kind in (SEALED, LATE) for one in files)
        assert sealed <= MOST_SEALED
        assert len(files) - sealed <= 24 + 59
    over_us = max(now_us, start_us + DAY_US + compact.MARGIN_US)
    total = sum(one.rows for one in files)
    files = settled(files, over_us, quiet_us=0)
    assert len(files) <= MOST_SEALED
    assert {one.kind for one in files} <= {SEALED, LATE}
    assert total - sum(one.rows for one in files) <= 3 * 100  # the model divides whole numbers


def test_the_flushes_of_the_current_hour_stay_until_60_have_gathered() -> None:
    now_us = start_of("2026-11-20") + 5 * HOUR_US + HOUR_US // 2
    files = [file("2026-11-20", now_us - number) for number in range(59)]
    assert plan(files, now_us) == []
    [job] = plan([*files, file("2026-11-20", now_us)], now_us)
    assert (job.kind, len(job.files)) == (HOURLY, 60)


def test_an_hour_that_is_over_becomes_one_file_and_is_left_alone() -> None:
    now_us = start_of("2026-11-20") + 6 * HOUR_US
    files = [file("2026-11-20", now_us - 1 - number) for number in range(5)]
    [job] = plan(files, now_us)
    assert (job.kind, len(job.files)) == (HOURLY, 5)
    assert plan(outcome(job), now_us) == []


def test_a_day_is_sealed_when_it_is_over_and_quiet() -> None:
    end_us = start_of("2026-11-20") + DAY_US
    files = [file("2026-11-20", end_us - SECOND_US), file("2026-11-20", end_us + HOUR_US)]
    assert plan(files, end_us + HOUR_US - 1) == []
    assert plan(files, end_us + HOUR_US + QUIET_US - 1) == []
    [job] = plan(files, end_us + HOUR_US + QUIET_US)
    assert (job.kind, len(job.files)) == (SEALED, 2)


def test_a_few_late_readings_do_not_rewrite_the_sealed_day_until_they_are_an_eighth() -> None:
    end_us = start_of("2026-11-20") + DAY_US
    sealed = file("2026-11-20", end_us, SEALED, rows=8000)
    late = [file("2026-11-20", end_us + 2 * HOUR_US, rows=499) for _ in range(2)]
    now_us = end_us + 3 * HOUR_US
    [job] = plan([sealed, *late], now_us)
    assert (job.kind, job.files) == (LATE, tuple(late))
    [gathered] = outcome(job)
    assert plan([sealed, gathered], now_us) == []
    [job] = plan([sealed, gathered, file("2026-11-20", end_us, rows=2)], now_us)
    assert (job.kind, len(job.files)) == (SEALED, 3)


def test_folds_come_before_seals() -> None:
    now_us = start_of("2026-11-20") + 6 * HOUR_US
    open_day = [file("2026-11-20", now_us - 1), file("2026-11-20", now_us - 2)]
    over = [file("2026-11-10", now_us - DAY_US) for _ in range(9)]
    assert [job.kind for job in plan([*over, *open_day], now_us)] == [HOURLY, SEALED]


@pytest.mark.parametrize("rows, pieces", [(1, 1), (399_999, 1), (400_000, 2), (10**8, PIECES)])
def test_a_large_day_is_sealed_in_pieces(rows: int, pieces: int) -> None:
    assert Job(SEALED, "2026-11-20", (file("2026-11-20", 0, rows=rows),)).pieces == pieces
