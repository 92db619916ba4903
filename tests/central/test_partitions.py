"""Daily partitions: ahead, for the past, out of the default one, and gone when they are old."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from click.testing import CliRunner

from tests.central.conftest import Centre
from urbanos_edge.cli import main

TODAY = datetime.now(UTC).date()
"""The suite may pass midnight: days are compared with margins."""
TABLES = ("pollution_aggregates", "pollution_data")


def days_ago(number: int) -> date:
    return TODAY - timedelta(days=number)


def partition(table: str, day: date) -> str:
    return f"{table}_{day:%Y_%m_%d}"


def put(centre: Centre, day: date, hour: int = 12) -> None:
    """One reading and one bucket of that day."""
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    centre.owner.execute(
        "INSERT INTO pollution_data (grid_id, location, timestamp, aqi_value, created_date)"
        " VALUES ('z12-x2330-y1185', ST_Point(24.94, 60.17, 4326), %s, 50, %s)",
        (at, day),
    )
    centre.owner.execute(
        "INSERT INTO pollution_aggregates"
        " VALUES ('n', %s, 3600, 'z18-x149208-y75850', 'pm25', 1, 2, 4, 2, 2, 0, 1)",
        (at,),
    )


def homes(centre: Centre, table: str) -> dict[str, int]:
    """How many rows lie in which partition."""
    found = centre.rows(f"SELECT tableoid::REGCLASS::TEXT, count(*) FROM {table} GROUP BY 1")
    return {str(name): int(number) for name, number in found}


def test_partitions_are_there_ahead(centre: Centre) -> None:
    for day in (TODAY, TODAY + timedelta(days=1)):
        put(centre, day)
        for table in TABLES:
            assert homes(centre, table)[partition(table, day)] == 1


def test_what_came_before_its_partition_moves_into_it(centre: Centre) -> None:
    for hour in (0, 23):
        put(centre, days_ago(40), hour)
    put(centre, days_ago(39), 0)
    put(centre, days_ago(41), 23)
    for table in TABLES:
        assert homes(centre, table) == {f"{table}_default": 4}
    assert centre.value("SELECT create_daily_partitions(%s, %s)", days_ago(40), days_ago(40)) == 2
    for table in TABLES:
        expected = {partition(table, days_ago(40)): 2, f"{table}_default": 2}
        assert homes(centre, table) == expected
    centre.value("SELECT create_daily_partition()::TEXT")
    for table in TABLES:
        days = {partition(table, days_ago(n)): 2 if n == 40 else 1 for n in (39, 40, 41)}
        assert homes(centre, table) == days
    assert centre.value("SELECT create_daily_partitions(%s, %s)", days_ago(41), days_ago(39)) == 0


def test_a_partition_has_all_that_its_table_has(centre: Centre) -> None:
    day = days_ago(7)
    centre.value("SELECT create_daily_partition(%s)::TEXT", day)
    put(centre, day)
    for table, indexes in (("pollution_data", 6), ("pollution_aggregates", 2)):
        name = partition(table, day)
        count = "SELECT count(*) FROM pg_index WHERE indrelid = %s::REGCLASS AND indisvalid"
        assert centre.value(count, name) == indexes
        attached = "SELECT relispartition FROM pg_class WHERE relname = %s"
        assert centre.value(attached, name)
    assert centre.rows("SELECT x18, y18 FROM pollution_aggregates") == [(149208, 75850)]


def test_a_partition_is_made_while_others_are_written_and_read(centre: Centre) -> None:
    with psycopg.connect(centre.dsn) as writer:
        writer.execute("SELECT count(*) FROM pollution_data WHERE created_date = %s", (TODAY,))
        writer.execute(
            "INSERT INTO pollution_aggregates"
            " VALUES ('n', now(), 3600, 'z18-x1-y1', 'pm25', 1, 2, 4, 2, 2, 0, 1)"
        )
        centre.owner.execute("SET lock_timeout = '1s'")
        assert centre.value("SELECT create_daily_partitions(%s, %s)", days_ago(3), days_ago(3)) == 2


def test_nodes_that_send_late_days_at_once_lose_and_double_nothing(centre: Centre) -> None:
    """Each prepares the same days while others write into them, and tries again when refused."""
    put = (
        "INSERT INTO pollution_aggregates SELECT %s, day, 3600, 'z18-x1-y1', 'pm25', 1, 2, 4, 2, 2,"
        " 0, 1 FROM generate_series(%s::DATE::TIMESTAMPTZ, %s::DATE, '1 day') AS day"
    )

    def send(node: str) -> None:
        with psycopg.connect(centre.dsn, autocommit=True) as login:
            for first in range(30, 0, -3):
                days = (days_ago(first), days_ago(first - 2))
                while True:
                    with suppress(psycopg.errors.CheckViolation):
                        login.execute(put.encode(), (f"{node}-before", *days))
                        break
                login.execute("SELECT create_daily_partitions(%s, %s)", days)
                login.execute(put.encode(), (f"{node}-after", *days))

    with ThreadPoolExecutor(3) as pool:
        for sent in [pool.submit(send, node) for node in ("a", "b", "c")]:
            sent.result()
    centre.value("SELECT create_daily_partition()::TEXT")
    found = homes(centre, "pollution_aggregates")
    assert found == {partition("pollution_aggregates", days_ago(n)): 6 for n in range(1, 31)}


def test_days_that_are_not_kept_or_far_ahead_get_no_partition(centre: Centre) -> None:
    assert centre.value("SELECT create_daily_partitions(%s, %s)", days_ago(95), days_ago(94)) == 2
    ahead = TODAY + timedelta(days=30)
    assert centre.value("SELECT create_daily_partitions(%s, %s)", ahead, ahead) == 0
    with pytest.raises(psycopg.Error, match="at most 100 days"):
        centre.value("SELECT create_daily_partitions(%s, %s)", days_ago(100), TODAY)


def test_all_partitions_that_are_too_old_are_dropped(centre: Centre) -> None:
    """The original drops the one that is exactly 90 days old, and misses it when cron did."""
    centre.owner.execute("UPDATE retention SET kept_days = 400")
    for number in (300, 200, 91, 88):
        centre.value("SELECT create_daily_partition(%s)::TEXT", days_ago(number))
        put(centre, days_ago(number))
    put(centre, days_ago(250))
    put(centre, days_ago(80))
    centre.owner.execute("UPDATE retention SET kept_days = 90 WHERE table_name = 'pollution_data'")
    assert centre.value("SELECT delete_old_partitions()") == 3
    kept = {partition("pollution_data", days_ago(88)): 1, "pollution_data_default": 1}
    assert homes(centre, "pollution_data") == kept
    assert sum(homes(centre, "pollution_aggregates").values()) == 6, "these are kept longer"
    since = centre.value("SELECT kept_since FROM retention WHERE table_name = 'pollution_data'")
    assert days_ago(90) <= since <= days_ago(89)
    assert centre.value("SELECT delete_old_partitions()") == 0


def test_what_was_dropped_stays_away_when_more_days_are_kept_later(centre: Centre) -> None:
    centre.value("SELECT delete_old_partitions()")
    before = centre.value("SELECT kept_since('pollution_data')")
    centre.owner.execute("UPDATE retention SET kept_days = 3650")
    assert centre.value("SELECT kept_since('pollution_data')") == before


def test_a_partition_that_is_being_read_is_dropped_the_next_time(own_centre: Centre) -> None:
    own_centre.owner.execute("UPDATE retention SET kept_days = 400")
    for number in (300, 200):
        own_centre.value("SELECT create_daily_partition(%s)::TEXT", days_ago(number))
    own_centre.owner.execute(
        "UPDATE retention SET kept_days = 90 WHERE table_name = 'pollution_data'"
    )
    own_centre.owner.execute("ALTER FUNCTION delete_old_partitions() SET lock_timeout = '100ms'")
    with psycopg.connect(own_centre.dsn) as reader:
        reader.execute(f"SELECT FROM {partition('pollution_data', days_ago(300))}".encode())
        assert own_centre.value("SELECT delete_old_partitions()") == 1
    assert own_centre.value("SELECT delete_old_partitions()") == 1


def test_where_the_default_partition_is_read_it_takes_the_rows_until_later(
    centre: Centre, caplog: pytest.LogCaptureFixture
) -> None:
    """A report that reads everything, or a backup, holds up no node."""
    with psycopg.connect(centre.dsn) as reader:
        reader.execute("SELECT count(*) FROM pollution_data")
        began_s = time.monotonic()
        assert (
            centre.value("SELECT create_daily_partitions(%s, %s)", days_ago(40), days_ago(40)) == 1
        )
        assert time.monotonic() - began_s < 5
        put(centre, days_ago(40))
        assert homes(centre, "pollution_data") == {"pollution_data_default": 1}
        with caplog.at_level("WARNING"):
            assert tend(centre).startswith("0 partitions made")
        assert f"pollution_data_default is being read; {days_ago(40)} gets its" in caplog.text
    assert tend(centre).startswith("1 partitions made")
    assert homes(centre, "pollution_data") == {partition("pollution_data", days_ago(40)): 1}


@pytest.mark.parametrize("day", ["2026-03-01", "2026-03-03"])
def test_a_reading_lies_in_the_utc_day_of_its_timestamp(centre: Centre, day: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="utc_day"):
        centre.owner.execute(
            "INSERT INTO pollution_data (grid_id, location, timestamp, created_date)"
            " VALUES ('z12-x1-y1', ST_Point(0, 0, 4326), '2026-03-03 01:00+02', %s)",
            (day,),
        )


@pytest.mark.parametrize("cell", ["z17-x1-y1", "z18-x01-y1", "z18-x262144-y1", "nonsense"])
def test_what_is_no_cell_of_zoom_18_is_refused(centre: Centre, cell: str) -> None:
    with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.DataError)):
        centre.owner.execute(
            "INSERT INTO pollution_aggregates"
            " VALUES ('n', now(), 3600, %s, 'pm25', 1, 2, 4, 2, 2, 0, 1)",
            (cell,),
        )


def tend(centre: Centre) -> str:
    done = CliRunner().invoke(main, ["central", "tend", "--dsn", centre.dsn])
    assert done.exit_code == 0, done.stderr
    return done.stdout.strip()


def test_one_command_makes_up_for_all_that_was_missed(centre: Centre) -> None:
    put(centre, days_ago(40))
    put_index(centre)
    assert tend(centre).endswith("made, 0 dropped; 9 grids changed"), "zooms 10 to 18"
    for table in TABLES:
        assert homes(centre, table)[partition(table, days_ago(40))] == 1
    centre.owner.execute("UPDATE retention SET kept_days = 30")
    assert tend(centre) == "0 partitions made, 2 dropped; 0 grids changed"
    assert homes(centre, "pollution_data") == {}
    assert tend(centre) == "0 partitions made, 0 dropped; 0 grids changed"


def test_each_part_is_done_although_another_one_fails(own_centre: Centre) -> None:
    """All that failed is told in one line."""
    put_index(own_centre)
    own_centre.owner.execute("UPDATE retention SET kept_days = 400")
    own_centre.value("SELECT create_daily_partition(%s)::TEXT", days_ago(300))
    own_centre.owner.execute("UPDATE retention SET kept_days = 90")
    own_centre.owner.execute("ALTER FUNCTION create_daily_partition RENAME TO away")
    done = CliRunner().invoke(main, ["central", "tend", "--dsn", own_centre.dsn])
    assert done.exit_code == 1
    [said] = done.stderr.strip().splitlines()
    assert "partitions to come: the centre refused: function create_daily_partition() does" in said
    assert own_centre.value("SELECT count(*) FROM grid_metadata") == 9
    dropped = own_centre.value("SELECT to_regclass(%s)", partition(TABLES[0], days_ago(300)))
    assert dropped is None
    own_centre.owner.execute("ALTER FUNCTION refresh_grid_metadata RENAME TO away_too")
    done = CliRunner().invoke(main, ["central", "tend", "--dsn", own_centre.dsn])
    assert "; grid_metadata: the centre refused" in done.stderr


def put_index(centre: Centre) -> None:
    """A bucket of the index, of this hour."""
    centre.owner.execute(
        "INSERT INTO pollution_aggregates VALUES ('n', date_trunc('hour', now(), 'UTC'), 3600,"
        " 'z18-x149208-y75850', 'aqi', 1, 50, 2500, 50, 50, 0, 1)"
    )
