"""The command line: on a running node and on a resting one, right and wrong."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click
import pytest
from anyio import to_thread
from click.testing import CliRunner

from tests.http.sending import Spot, assert_is_error, reading, send, stored
from tests.processes import NodeProcess, command, wait_until
from urbanos_edge import cli, control
from urbanos_edge.cli import main
from urbanos_edge.cli.asking import ask, show
from urbanos_edge.cli.overview import GROUPS
from urbanos_edge.cli.owner import by_owner
from urbanos_edge.control import LongCommand
from urbanos_edge.errors import EdgeError
from urbanos_edge.progress import Tell
from urbanos_edge.upkeep.upkeep import until_stopped

SCREEN = (24, 80)
"""Lines and columns of a terminal."""
Ended = subprocess.CompletedProcess[str]


def run(data_dir: Path, *arguments: str, **variables: str) -> Ended:
    """Run a command of the command line as a person would."""
    words = [*command(), *arguments, "--data-dir", str(data_dir)]
    environment = os.environ | variables
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)


def outcome(ended: Ended) -> Any:
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    return json.loads(ended.stdout)


def assert_failed(ended: Ended, *words: str) -> None:
    """Exit code 1, and one line on stderr that holds these words."""
    assert ended.returncode == 1, ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    for word in words:
        assert word in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout


# --- on a running node and on a resting one ---


@pytest.fixture(params=["running", "resting"])
def data_dir(request: pytest.FixtureRequest, server: NodeProcess, tmp_path: Path) -> Iterator[Path]:
    """A data directory whose node runs, or one that no node has been started on."""
    yield server.data_dir if request.param == "running" else tmp_path / "resting"


def test_a_token_is_made_listed_and_revoked(data_dir: Path) -> None:
    made = run(data_dir, "token", "create", "--scope", "gateway", "--name", "bridge 7")
    assert (made.returncode, made.stderr) == (0, "")
    assert re.fullmatch(r"\S{20,}\n", made.stdout), "the secret stands alone"
    listed = outcome(run(data_dir, "token", "list", "--json"))
    (token,) = (token for token in listed if token["name"] == "bridge 7")
    assert (token["scope"], token["sensor_id"], token["revoked_at_us"]) == ("gateway", None, None)
    assert made.stdout.strip() not in json.dumps(listed)
    assert run(data_dir, "token", "revoke", str(token["id"])).returncode == 0
    listed = outcome(run(data_dir, "token", "list", "--json"))
    assert next(t for t in listed if t["id"] == token["id"])["revoked_at_us"] is not None


def test_who_only_looks_where_there_is_no_node_makes_none(tmp_path: Path) -> None:
    mistyped = tmp_path / "urbanos-dta"
    for words in ("status", "check", "token list", "export --from 2026-11-01 -"):
        assert_failed(run(mistyped, *words.split()), str(mistyped), "--data-dir")
    assert not mistyped.exists()


@pytest.mark.parametrize(
    "words",
    [
        "backup /nowhere/backups",
        "check --repair",
        "compact",
        "expire",
        "regrade",
        "dead-letters purge --all",
        "sensor rename roof-3 roof",
        "token revoke 1",
        "alert remove 1",
    ],
)
def test_what_works_on_what_is_there_makes_no_node_either(tmp_path: Path, words: str) -> None:
    assert_failed(run(tmp_path / "dta", *words.split()), "dta", "--data-dir")
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_command_is_told_the_right_one(tmp_path: Path) -> None:
    for words, meant in ((["stauts"], "'status'"), (["sensor", "ad"], "'add'")):
        ended = run(tmp_path, *words)
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1
        assert meant in ended.stderr


def test_status_and_lists_are_told_to_people_and_to_programs(data_dir: Path) -> None:
    run(data_dir, "token", "create", "--scope", "gateway")
    status = outcome(run(data_dir, "status", "--json"))
    assert status["spool"]["readings"] >= 0
    assert isinstance(outcome(run(data_dir, "sensor", "list", "--json")), list)
    for words in (["status"], ["sensor", "list"], ["token", "list"]):
        ended = run(data_dir, *words)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.strip()


def test_what_is_not_there_cannot_be_revoked(data_dir: Path) -> None:
    run(data_dir, "token", "create", "--scope", "gateway")
    assert_failed(run(data_dir, "token", "revoke", "999999"), "999999")


def test_the_tokens_of_the_command_line_open_the_door(server: NodeProcess, spot: Spot) -> None:
    secret = server.run("token", "create", "--scope", "gateway").stdout.strip()
    send(server, secret, reading(spot, "by-command"))
    listed = outcome(run(server.data_dir, "token", "list", "--json"))
    server.run("token", "revoke", str(max(token["id"] for token in listed)))
    assert_is_error(server.post(reading(spot, "too-late"), secret), 401)


def test_a_sensors_token_is_made_for_it(server: NodeProcess, spot: Spot) -> None:
    made = server.run("token", "create", "--scope", "sensor", "--sensor", "roof-3")
    secret = made.stdout.strip()
    assert server.post(reading(spot), secret).status_code == 202
    assert_is_error(server.post(reading(spot, "roof-4"), secret), 403)


def test_a_token_made_while_the_node_rested_is_good_when_it_runs(
    tmp_path: Path, start_node: Callable[..., NodeProcess], spot: Spot
) -> None:
    made = run(tmp_path / "node", "token", "create", "--scope", "gateway")
    node = start_node()
    assert node.post(reading(spot, "early"), made.stdout.strip()).status_code == 202


def test_the_status_of_a_resting_node_tells_what_it_holds(
    start_node: Callable[..., NodeProcess], spot: Spot
) -> None:
    node = start_node(flush_interval_s=3600)
    send(node, node.token(), reading(spot, "one"), reading(spot, "two"))
    running = outcome(run(node.data_dir, "status", "--json"))
    node.stop()
    resting = outcome(run(node.data_dir, "status", "--json"))
    assert running["store"] == resting["store"]
    assert resting["store"]["rows"] == 2
    assert resting["node"] == running["node"]
    assert len(outcome(run(node.data_dir, "sensor", "list", "--json"))) == 2


def test_several_commands_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """None of them is a node; each needs the directory for a moment."""
    words = ("token", "create", "--scope", "gateway")
    with ThreadPoolExecutor(3) as three:
        ended = list(three.map(lambda _: run(tmp_path / "shared", *words), range(3)))
    assert [each.returncode for each in ended] == [0, 0, 0], [each.stderr for each in ended]
    assert len({each.stdout for each in ended}) == 3


def test_the_control_socket_is_its_owners(server: NodeProcess) -> None:
    mode = (server.data_dir / "control.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("line", [b"\n", b"garbage\n", b"{}\n", b'{"command":"fly"}\n', b"\xff\n"])
def test_garbage_on_the_control_socket_gets_an_error(server: NodeProcess, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(str(server.data_dir / "control.sock"))
        link.sendall(line)
        answer = link.makefile("rb").readline()
    assert json.loads(answer)["error"]["message"]
    assert b"Traceback" not in answer


def test_the_directory_may_be_named_by_the_environment(server: NodeProcess) -> None:
    words = [*command(), "status", "--json"]
    environment = os.environ | {"URBANOS_DATA_DIR": str(server.data_dir)}
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
    assert outcome(ended)["node"] == server.status()["node"]


def test_an_archive_of_any_day_is_imported(data_dir: Path, tmp_path: Path, spot: Spot) -> None:
    file = tmp_path / "2019.csv"
    place = f"{spot.lat},{spot.lng}"
    rows = [f"{spot.grid_id},{place},2019-02-18T00:0{n}:00Z,{n}" for n in range(3)]
    file.write_text("\n".join(["sensor_id,lat,lng,timestamp,pm25", *rows, *rows[:1]]))
    ended = run(data_dir, "import", str(file), XDG_STATE_HOME=str(tmp_path / "state"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "4 rows, 4 sent, 4 accepted, 1 of them duplicate" in ended.stdout
    found = stored(data_dir, "pm25", "WHERE sensor_id = ? ORDER BY timestamp", spot.grid_id)
    assert found == [(0.0,), (1.0,), (2.0,)]
    [act, *_] = outcome(run(data_dir, "audit", "list", "--json"))
    assert (act["act"], act["details"]) == ("import", {"begins": True, "files": ["2019.csv"]})


# --- a node that ends or hangs in the midst of a command ---

SLOW = """
import sys, time
from urbanos_edge.backup.check import Check
from urbanos_edge.cli import main
Check._check_database = lambda self: time.sleep(3)
main(sys.argv[1:])
"""


@pytest.fixture
def slow_node(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node that takes 3 s for a check, and cannot be broken off meanwhile."""
    node = NodeProcess(tmp_path / "node", {}, program=[sys.executable, "-c", SLOW])
    yield node
    node.stop()


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_nobody_stands_in_for_a_node_that_ends_in_the_midst_of_a_command(
    slow_node: NodeProcess, way: str
) -> None:
    began = threading.Event()
    with ThreadPoolExecutor(1) as one:
        asked = one.submit(
            ask, slow_node.data_dir, "check", {"repair": True}, lambda *_: began.set()
        )
        assert began.wait(10)
        assert getattr(slow_node, way)() in (0, None)
        with pytest.raises(EdgeError, match="run it again"):
            asked.result(10)
    assert "Traceback" not in slow_node.log()
    assert "set aside" not in slow_node.log()


def test_a_command_has_ended_when_the_listener_has(tmp_path: Path) -> None:
    began, ended = threading.Event(), threading.Event()

    async def command(_: dict[str, Any], tell: Tell) -> None:
        try:
            await to_thread.run_sync(work, until_stopped(tell))
        finally:
            ended.set()

    def work(tell: Tell) -> None:
        began.set()
        for _ in range(500):
            time.sleep(0.01)
            tell(0.5, "working")

    async def listening() -> None:
        listener = await control.listen(tmp_path, {"slow": LongCommand(command)})
        await to_thread.run_sync(began.wait, 10)
        await listener.end()
        assert ended.is_set()

    with ThreadPoolExecutor(2) as two:
        listened = two.submit(anyio.run, listening)
        wait_until((tmp_path / "control.sock").exists, 10)
        asked = two.submit(control.request, tmp_path, "slow")
        began_s = time.monotonic()
        listened.result(10)
        assert time.monotonic() - began_s < 4, "it is broken off"
        with pytest.raises(EdgeError, match="run it again"):
            asked.result(10)


def test_a_long_command_that_has_nothing_to_tell_is_not_taken_for_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "STILL_AT_WORK_S", 0.1, raising=False)

    async def command(_: dict[str, Any], tell: Tell) -> str:
        await anyio.sleep(2)
        return "done"

    async def listening() -> Any:
        listener = await control.listen(tmp_path, {"slow": LongCommand(command)})
        asked = partial(control.request, tmp_path, "slow", within_s=1)
        try:
            return await to_thread.run_sync(asked)
        finally:
            listener.close()

    assert anyio.run(listening) == "done"


def test_a_node_that_says_nothing_is_told_of_in_one_line() -> None:
    def there() -> None:
        raise TimeoutError

    with pytest.raises(EdgeError, match="says nothing"):
        by_owner(there, lambda: None)


def test_a_long_command_waits_for_a_node_that_comes_back() -> None:
    tries = iter([control.NotRunning("no node"), control.NotRunning("no node"), None])

    def there() -> str:
        error = next(tries)
        if error is not None:
            raise error
        return "there"

    assert by_owner(there, lambda: "here", 5) == "there"


@pytest.mark.parametrize(("end", "is_waited_for"), [("stop", False), ("kill", True)])
def test_only_a_node_that_crashed_is_waited_for(
    start_node: Callable[..., NodeProcess], end: str, is_waited_for: bool
) -> None:
    node = start_node()
    assert control.was_served(node.data_dir)
    getattr(node, end)()
    assert control.was_served(node.data_dir) == is_waited_for


# --- what keeps a node from starting ---


def test_a_second_node_on_a_directory_is_refused(server: NodeProcess) -> None:
    assert_failed(run(server.data_dir, "serve", "--port", "0"), str(server.data_dir))
    assert server.client.get("/health/ready").status_code == 200


def test_a_port_in_use_is_told(server: NodeProcess, tmp_path: Path) -> None:
    words = ("serve", "--host", "127.0.0.1", "--port", str(server.port))
    assert_failed(run(tmp_path / "other", *words), str(server.port))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flush_intervall_s", "10"),
        ("flush_interval_s", "-1"),
        ("flush_interval_s", "soon"),
        ("aqi_standard", "ours"),
        ("time_zone", "Mars/Olympus"),
    ],
)
def test_an_impossible_setting_stops_the_start(tmp_path: Path, name: str, value: str) -> None:
    ended = run(tmp_path / "node", "serve", "--port", "0", **{f"URBANOS_{name.upper()}": value})
    assert ended.returncode in (1, 2)
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    assert name.split("_")[0] in ended.stderr


@pytest.mark.parametrize("text", ["port = ", "port = 'x'", "no_such = 1", "\udcff"])
def test_a_settings_file_that_cannot_be_read_stops_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "urbanos.toml"
    file.write_text(text, errors="surrogateescape")
    ended = run(tmp_path / "node", "serve", "--config", str(file))
    assert ended.returncode in (1, 2)
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr


def test_a_directory_that_cannot_be_made_is_told() -> None:
    assert_failed(run(Path("/proc/nowhere"), "status"), "/proc/nowhere")


# --- help and wrong usage ---


def all_commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and group with the words that call it."""
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        assert inner is not None, f"{name} is listed and not there"
        if isinstance(inner, click.Group):
            yield from all_commands(inner, (*path, name))
        else:
            yield (*path, name), inner


@pytest.mark.parametrize("words", [words for words, _ in all_commands(main)], ids=" ".join)
def test_the_help_of_every_command_fits_one_screen(words: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(main, [*words, "--help"], terminal_width=SCREEN[1])
    assert ended.exit_code == 0
    lines = ended.output.splitlines()
    assert lines[0].startswith("Usage: ")
    assert len(lines) <= SCREEN[0]
    assert max(len(line) for line in lines) <= SCREEN[1]


def test_the_first_help_lists_every_command_once_in_a_few_words() -> None:
    grouped = [name for group in GROUPS.values() for name in group]
    assert len(set(grouped)) == len(grouped), "a command in two groups"
    output = CliRunner().invoke(main, ["--help"], terminal_width=SCREEN[1]).output
    for group in GROUPS.values():
        for name, known in group.items():
            (_,) = re.finditer(rf"(?:^|\s){name} +{re.escape(known.words)}(?:\s|$)", output)


def test_every_command_of_the_package_can_be_called() -> None:
    called = {id(command) for _, command in all_commands(main)}
    for module in pkgutil.iter_modules(cli.__path__, "urbanos_edge.cli."):
        for name, one in vars(importlib.import_module(module.name)).items():
            assert not isinstance(one, click.Command) or id(one) in called, f"{module.name}.{name}"


def test_what_strangers_wrote_is_shown_as_it_is_and_steers_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Square brackets are markup to the library that draws the table."""
    show([{"note": "[/x] [red]a[/red] :smile: \x1b[2J\x9b1m\tb"}], ("note",), as_json=False)
    printed = capsys.readouterr().out
    assert "[/x] [red]a[/red] :smile: \ufffd[2J\ufffd1m\ufffdb" in printed
    assert not set("\x1b\x9b\t") & set(printed)


WRONG_USES = [
    "fly",
    "serve --port many",
    "serve --port",
    "serve --nonsense",
    "serve --config /nowhere/urbanos.toml",
    "token create",
    "token create --scope everything",
    "token create --scope sensor",
    "token create --scope gateway --sensor a",
    "token revoke",
    "token revoke first",
    "status now",
    "basemap import",
    "basemap import /nowhere.osm.pbf",
    "replay",
    "replay /nowhere.csv",
    "import",
    "import /nowhere.csv",
    "import pyproject.toml --format xlsx",
    "regrade --from 2026-11-20 --to 2026-11-01",
    "flags --from 2026-11-26T10:00:00+02:00 --to 2026-11-25",
    "flags --from x",
    "export --from 2999-01-01 -",
    "sensor add a --lat nan --lng 5",
    "sensor add a --lat 1 --lng 5 --name=",
    "sensor move a --lat 0 --lng -inf",
    "sensor rename a \x07",
    "sensor calibrate a --gain 0",
    "sensor calibrate a --gain nan",
    "sensor calibrate a --against b --days 0",
    "sensor calibrate a --against b --from 2020-13-01",
    "alert add --quantity pm25 --over inf",
    "deploy cutover --watch nan",
]


@pytest.mark.parametrize("line", WRONG_USES)
def test_wrong_usage_ends_with_2(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, line.split())
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert ended.stderr.strip()
    assert list(tmp_path.iterdir()) == [], "nothing is made by mistake"


def test_wrong_usage_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = {line: CliRunner().invoke(main, line.split()).stderr for line in WRONG_USES}
    long = {line: text for line, text in told.items() if len(text.strip().splitlines()) != 1}
    assert long == {}


def test_a_command_that_is_broken_off_harms_no_running_node(server: NodeProcess) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(server.data_dir / "control.sock"))
        link.sendall(b'{"command":"status"')
    words = [*command(), "status", "--data-dir", str(server.data_dir)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as broken:
        broken.send_signal(signal.SIGKILL)
    assert outcome(run(server.data_dir, "status", "--json"))["spool"]["readings"] == 0
