"""The centre's schema: forward, back and forward again, and what stands in its way."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.central.conftest import Centre
from tests.postgres import Postgres
from urbanos_edge.cli import main
from urbanos_edge.errors import EdgeError
from urbanos_edge.sync import central
from urbanos_edge.sync.central import connected, migrate, newest_schema, roll_back, schema_of

MIGRATIONS = Path(__file__).parents[2] / "migrations" / "central"


def dumped(centre: Centre) -> str:
    """The schema as pg_dump writes it; of the versions' table and of partitions nothing."""
    words = ["-h", str(centre.postgres.folder), "-p", str(centre.postgres.port), "-U", "postgres"]
    words += ["--schema-only", "-T", "schema_migrations", "-T", "pollution_*_20*"]
    text = centre.postgres.tool("pg_dump", *words, centre.database)
    return re.sub(r"\\(un)?restrict \w+\n", "", text)  # a random word that guards its reader


def test_every_step_back_undoes_its_step_forward(own_centre: Centre) -> None:
    up, down = sorted(MIGRATIONS.glob("*.up.sql")), sorted(MIGRATIONS.glob("*.down.sql"))
    assert [path.name.replace(".up.", ".down.") for path in up] == [path.name for path in down]
    assert len(up) == newest_schema()
    dumps = {newest_schema(): dumped(own_centre)}
    for version in reversed(range(newest_schema())):
        roll_back(own_centre.owner, version)
        assert schema_of(own_centre.owner) == version
        dumps[version] = dumped(own_centre)
    assert len(set(dumps.values())) == len(dumps), "each step changes something"
    assert (
        own_centre.rows("SELECT relname FROM pg_class WHERE relname ~ '^(pollution|grid)_'") == []
    )
    own_centre.owner.execute("CREATE TABLE schema_migrations (version INTEGER)")
    for version, script in enumerate(up, start=1):
        own_centre.owner.execute(script.read_bytes())
        if version == newest_schema():
            own_centre.owner.execute("SELECT create_slow_queries_view()")
        assert dumped(own_centre) == dumps[version], script.name


def test_a_migrated_centre_is_left_alone_by_another_migration(own_centre: Centre) -> None:
    assert migrate(own_centre.owner) == []


def test_two_programs_that_migrate_at_once_make_each_step_once(postgres: Postgres) -> None:
    dsn = postgres.create("by_two")

    def found() -> list[str]:
        with connected(dsn) as connection:
            return migrate(connection)

    with ThreadPoolExecutor(2) as pool:
        steps = [future.result() for future in [pool.submit(found), pool.submit(found)]]
    assert sorted(map(len, steps)) == [0, newest_schema()]


def test_a_step_that_fails_leaves_the_schema_it_began_with(
    own_centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, scripts)
    name = f"{newest_schema() + 1:04}_next"
    (scripts / f"{name}.up.sql").write_text("CREATE TABLE half (a INTEGER); SELECT no_such();")
    before = dumped(own_centre)
    monkeypatch.setattr(central, "_migrations", lambda: scripts)
    with pytest.raises(EdgeError, match="no_such"), connected(own_centre.dsn) as connection:
        migrate(connection)
    assert dumped(own_centre) == before


def test_a_newer_centre_is_refused(own_centre: Centre) -> None:
    own_centre.owner.execute("INSERT INTO schema_migrations VALUES (99, '0099_later')")
    for command in ("init", "migrate", "rollback", "nodes"):
        ended = CliRunner().invoke(main, ["central", command, "--dsn", own_centre.dsn])
        assert ended.exit_code == 1
        assert "99" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_a_rollback_to_nothing_must_be_told_to_drop_rows(own_centre: Centre) -> None:
    central.add_node(own_centre.owner, "kept")
    with pytest.raises(EdgeError, match="nodes has rows"):
        roll_back(own_centre.owner, 0)
    assert schema_of(own_centre.owner) == newest_schema()
    assert len(roll_back(own_centre.owner, 0, drop_rows=True)) == newest_schema()
    assert schema_of(own_centre.owner) == 0
    own_centre.owner.execute("DROP ROLE urbanos_node_kept")


def test_a_login_without_rights_is_told_so_and_changes_nothing(
    postgres: Postgres, template: str
) -> None:
    postgres.create("not_mine")
    with postgres.connect() as owner:
        owner.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    with (
        pytest.raises(EdgeError, match="may not do this: permission denied"),
        connected(postgres.dsn("not_mine", "guest", "guest")) as connection,
    ):
        migrate(connection)
    with connected(postgres.dsn("not_mine")) as connection:
        assert schema_of(connection) == 0


def test_who_cannot_reach_the_centre_is_told_why(postgres: Postgres) -> None:
    wrong = {
        postgres.dsn("postgres", password="wrong"): "password authentication failed",
        postgres.dsn("nowhere"): 'database "nowhere" does not exist',
        "host=127.0.0.1 port=1 dbname=postgres": "refused",
        "nonsense": "host=",
    }
    for dsn, why in wrong.items():
        ended = CliRunner().invoke(main, ["central", "nodes", "--dsn", dsn])
        assert ended.exit_code == (2 if dsn == "nonsense" else 1)
        assert why in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_a_centre_is_founded_and_a_node_let_in_by_commands(postgres: Postgres) -> None:
    dsn = postgres.create("by_hand")

    def run(*words: str, code: int = 0) -> tuple[str, str]:
        ended = CliRunner().invoke(main, ["central", *words, "--dsn", dsn])
        assert ended.exit_code == code, ended.output
        return ended.stdout, ended.stderr

    for command in ("migrate", "tend"):
        assert "make one with central init" in run(command, code=1)[1]
    assert f"schema {newest_schema()}" in run("init")[1]
    assert f"schema {newest_schema()}" in run("init")[1], "founding it twice does no harm"
    password, note = run("add-node", "founded-1", "--name", "Oulu")
    assert "postgresql://urbanos_node_founded_1:PASSWORD@127.0.0.1" in note
    assert "--renew" in run("add-node", "founded-1", code=1)[1]
    assert "Oulu" in run("nodes")[0]
    assert '"node_id": "founded-1"' in run("nodes", "--json")[0]
    renewed, _ = run("add-node", "founded-1", "--renew")
    for secret, opens in ((password, False), (renewed, True)):
        words = ("by_hand", "urbanos_node_founded_1", secret.strip())
        code = CliRunner().invoke(main, ["central", "nodes", "--dsn", postgres.dsn(*words)])
        assert (code.exit_code == 0) is opens
    assert f"schema {newest_schema() - 1}" in run("rollback")[1]
    assert "central migrate" in run("nodes", code=1)[1]
    assert f"schema {newest_schema()}" in run("migrate")[1]


@pytest.mark.parametrize("node_id", ["", "Oulu", "oulu 1", "x" * 41, "a;b"])
def test_what_is_no_node_id_is_refused(own_centre: Centre, node_id: str) -> None:
    words = ["central", "add-node", "--dsn", own_centre.dsn, "--", node_id]
    ended = CliRunner().invoke(main, words)
    assert ended.exit_code == 1
    assert "no node's id" in ended.stderr
