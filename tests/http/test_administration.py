"""Logging in, what a login may, and the log of what was done."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import apsw
import httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.http.sending import assert_is_error, reading, spot_number
from tests.processes import NodeProcess
from urbanos_edge import control
from urbanos_edge.commands import ONLY_LOOKS, READS, commands, is_act
from urbanos_edge.deploy.lookout import Baseline, Lookout, look_first
from urbanos_edge.node import Node

SESSION = "/api/v1/session"
COOKIE = "urbanos_session"
NO_ACTS = {
    "/api/v1/data/ingest",
    "/data.php",
    "/v1/push-sensor-data",
    "/sensors/{monitor}/measures",
    "/write",
    "/api/v2/write",
    "/api/v3/write_lp",
    "/v1.1/Observations",
    "/v1.1/{entity}/Observations",
    "/api/v1/reports",
}
"""Routes by which readings and reports come in; all others that change something are acts."""
ACTS: dict[str, tuple[str, str, Any]] = {
    "/api/v1/session": ("DELETE", "log_out", None),
    "/api/v1/alert-rules": (
        "POST",
        "alert_add",
        {
            "when": "over",
            "quantity": "pm25",
            "threshold": 35.0,
            "url": "https://a.example/not-kept",
        },
    ),
    "/api/v1/alert-rules/{number}": ("DELETE", "alert_remove", None),
    "/api/v1/alert-rules/{number}/test": ("POST", "alert_test", None),
    "/api/v1/reports/{number}/approve": ("POST", "report_decide", None),
    "/api/v1/reports/{number}/reject": ("POST", "report_decide", None),
    "/api/v1/dead-letters/requeue": ("POST", "requeue", {"ids": [1]}),
    "/api/v1/dead-letters": ("DELETE", "purge", {"ids": [1]}),
    "/api/v1/backups": ("POST", "backup", None),
    "/api/v1/inbox/claim": ("POST", "inbox_claim", {"sender": "x", "password": "not to be kept"}),
    "/api/v1/inbox/ignore": ("POST", "inbox_ignore", {"sender": "x"}),
}
"""For each such route how it is asked, and what its line in the log is called."""


@pytest.fixture
def browser(server: NodeProcess) -> Iterator[httpx.Client]:
    """What a page of ours sends: the node's cookies, and where it comes from."""
    with httpx.Client(base_url=server.url, headers={"Origin": server.url}) as client:
        yield client


def log_in(client: httpx.Client, token: str) -> httpx.Response:
    return client.post(SESSION, json={"token": token})


def lines(node: NodeProcess, limit: int = 1000) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = control.request(node.data_dir, "audit", {"limit": limit})
    return found


# --- logins ---


def test_a_login_stands_for_its_token_until_it_is_ended(
    server: NodeProcess, browser: httpx.Client
) -> None:
    assert_is_error(browser.get(SESSION), 401)
    answer = log_in(browser, server.token("operator"))
    assert (answer.status_code, answer.json()["scope"]) == (201, "operator")
    said = answer.headers["set-cookie"]
    assert re.match(rf"{COOKIE}=\S{{43}}; ", said)
    assert {"Path=/", "HttpOnly", "SameSite=Strict"} <= set(said.split("; "))
    assert "Secure" not in said, "over plain HTTP the browser would not send it"
    assert browser.get(SESSION).json() == answer.json()
    assert browser.get("/api/v1/inbox").status_code == 200
    assert_is_error(browser.get("/api/v1/audit"), 403)
    secret = browser.cookies[COOKIE]
    assert browser.delete(SESSION).status_code == 200
    kept = {"Cookie": f"{COOKIE}={secret}"}
    assert_is_error(httpx.get(f"{server.url}/api/v1/inbox", headers=kept), 401)
    assert browser.delete(SESSION).status_code == 200, "it is over already"


def test_a_wrong_token_logs_nobody_in(browser: httpx.Client) -> None:
    answer = log_in(browser, "uoe_wrong")
    assert_is_error(answer, 401)
    assert "set-cookie" not in answer.headers


def test_a_login_cannot_be_given_to_somebody_beforehand(
    server: NodeProcess, browser: httpx.Client
) -> None:
    """Session fixation: whatever a browser brings along, it leaves with a new one."""
    planted = "A" * 43
    browser.cookies.set(COOKIE, planted, domain="127.0.0.1")
    first = log_in(browser, server.token("operator")).cookies[COOKIE]
    assert first != planted
    second = log_in(browser, server.token("operator")).cookies[COOKIE]
    assert second != first
    for old in (planted, first):
        headers = {"Cookie": f"{COOKIE}={old}"}
        assert_is_error(httpx.get(f"{server.url}{SESSION}", headers=headers), 401)


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1"])
def test_nothing_is_changed_by_a_login_but_from_our_own_pages(
    server: NodeProcess, browser: httpx.Client, origin: str | None
) -> None:
    """A browser says where a request comes from with all that changes something (Fetch, 3.2)."""
    log_in(browser, server.token("admin"))
    headers = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    headers |= {} if origin is None else {"Origin": origin}
    forged = httpx.post(
        f"{server.url}/api/v1/inbox/ignore", json={"sender": "victim"}, headers=headers
    )
    assert assert_is_error(forged, 403)["code"] == "foreign_origin"
    assert "victim" not in browser.get("/api/v1/inbox").json()["ignored"]


def test_a_revoked_token_ends_its_logins(server: NodeProcess, browser: httpx.Client) -> None:
    token_id = log_in(browser, server.token("operator")).json()["token_id"]
    assert browser.get("/api/v1/inbox").status_code == 200
    control.request(server.data_dir, "revoke_token", {"id": token_id})
    assert_is_error(browser.get("/api/v1/inbox"), 401)


# --- who may read ---


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("closed"), {"public_read": False})
    yield process
    process.stop()


READABLE = (
    *("/api/v1/sensors", "//api/v1/sensors", "/api//v1/sensors/", "/%61pi/v1/sensors"),
    *("/api/v1/grids/z12-x2330-y1185/data", "/api/v1/status", "/tiles/readings.json"),
    *("/tiles/readings/12/2330/1185.mvt", "/api/v1/alerts", "/metrics", "/api/v1/reports"),
)


@pytest.mark.parametrize("path", READABLE)
def test_a_closed_node_shows_nothing_without_a_token(closed: NodeProcess, path: str) -> None:
    bearer = {"Authorization": f"Bearer {closed.token('sync')}"}
    wrong = {"Authorization": "Bearer uoe_wrong"}
    for _ in range(2):
        shown = httpx.get(closed.url + path, headers=bearer)
        assert shown.status_code == 200
        assert "public" not in shown.headers["cache-control"]
        assert_is_error(httpx.get(closed.url + path), 401)
        assert_is_error(httpx.get(closed.url + path, headers=wrong), 401)
        assert httpx.head(closed.url + path).status_code == 401


def test_a_closed_node_still_tells_that_it_lives_and_takes_readings(closed: NodeProcess) -> None:
    for path in ("/health/live", "/health/ready", "/ping", "/sensors/airgradient:abc/one/config"):
        assert closed.client.get(path).status_code in (200, 204)
    assert closed.client.post("/data.php", content=b"{}").status_code == 422


def test_who_may_write_the_directory_exports_from_a_closed_node(closed: NodeProcess) -> None:
    assert (
        closed.post(reading(spot_number(0), "closed"), closed.token("gateway")).status_code == 202
    )
    control.request(closed.data_dir, "flush")
    table = closed.run("export", "--from", "2026-01-01", "-").stdout
    assert [row["sensor_id"] for row in csv.DictReader(io.StringIO(table))] == ["closed"]
    assert not _lent(closed, "export")


def test_a_new_version_of_a_closed_node_is_watched_by_what_its_readers_ask(
    closed: NodeProcess,
) -> None:
    baseline = msgspec.json.decode(msgspec.json.encode(look_first(closed.data_dir)), type=Baseline)
    assert {"/api/v1/status", "/tiles/readings.json"} <= {each.target for each in baseline.probes}
    with closing(Lookout(baseline)) as lookout:
        assert [lookout.look() for _ in baseline.probes] == [None] * len(baseline.probes)
    assert _lent(closed, "deploy watch")
    control.reads_no_more(closed.data_dir, baseline.reader.token_id)
    assert not _lent(closed, "deploy watch")


def _lent(node: NodeProcess, name: str) -> list[Any]:
    """The tokens of this name that are still good."""
    tokens = control.request(node.data_dir, "tokens")
    return [each for each in tokens if each["name"] == name and each["revoked_at_us"] is None]


def test_the_document_says_who_may_read_a_closed_node(closed: NodeProcess) -> None:
    bearer = {"Authorization": f"Bearer {closed.token('sync')}"}
    document = httpx.get(f"{closed.url}/schema/openapi.json", headers=bearer).json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["session"] == schemes["session"] | {"in": "cookie", "name": COOKIE}
    assert schemes["bearer"] == schemes["bearer"] | {"type": "http", "scheme": "bearer"}
    asked = {path: told["get"] for path, told in document["paths"].items() if "get" in told}
    assert "security" not in asked["/health/live"] and asked["/api/v1/sensors"]["security"]
    for path, told in asked.items():
        path = path.replace("{monitor}", "airgradient:abc").replace("{", "").replace("}", "")
        refused = closed.client.get(path).status_code == 401
        assert refused == bool(told.get("security")), path


def test_the_document_says_which_scope_is_needed(server: NodeProcess) -> None:
    others = {"operator": server.token("gateway"), "admin": server.token("operator")}
    found = set()
    for path, told in server.client.get("/schema/openapi.json").json()["paths"].items():
        scopes = told.get("get", {}).get("security", [{}])[0].get("bearer")
        if scopes:
            found.add(path)
            headers = {"Authorization": f"Bearer {others[scopes[0]]}"}
            assert_is_error(httpx.get(server.url + path, headers=headers), 403)
    assert found >= {"/api/v1/inbox", "/api/v1/dead-letters", "/api/v1/audit", "/api/v1/settings"}


def test_a_closed_nodes_news_are_for_those_with_a_token(closed: NodeProcess) -> None:
    url = f"ws://127.0.0.1:{closed.port}/ws"
    with pytest.raises(InvalidStatus) as refused:
        connect(url)
    assert refused.value.response.status_code == 401
    with connect(url, additional_headers={"Authorization": f"Bearer {closed.token('sync')}"}):
        pass
    grids = {"gridIds": "z12-x2330-y1185"}
    assert_is_error(closed.client.get("/api/v1/live", params=grids), 401)


def test_a_login_reads_a_closed_node(closed: NodeProcess) -> None:
    with httpx.Client(base_url=closed.url, headers={"Origin": closed.url}) as client:
        log_in(client, closed.token("gateway"))
        assert client.get("/api/v1/sensors").status_code == 200
        with connect(
            f"ws://127.0.0.1:{closed.port}/ws",
            additional_headers={"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"},
        ):
            pass


SHORT_LOGINS = """
from unittest.mock import patch

from urbanos_edge.access import access
from urbanos_edge.access.sessions import Sessions
from urbanos_edge.cli import main

with patch.object(access, "Sessions", lambda tokens, lives_s: Sessions(tokens, 8)):
    main()
"""
"""A node whose logins end after eight seconds."""
GRIDS = {"gridIds": "z12-x2330-y1185"}
POLICY_VIOLATION = 1008


@contextmanager
def following(node: NodeProcess, said: dict[str, str]) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{node.port}/ws", additional_headers=said) as connection:
        connection.send(json.dumps({"type": "subscribe-grid", "gridId": GRIDS["gridIds"]}))
        yield connection


def assert_news_end(
    node: NodeProcess, said: dict[str, str], end: Callable[[], object] = lambda: None
) -> None:
    """Both kinds are open, then something happens, and both are ended, in order."""
    url = f"{node.url}/api/v1/live"
    with (
        following(node, said) as connection,
        httpx.stream("GET", url, params=GRIDS, headers=said, timeout=30) as events,
    ):
        assert events.status_code == 200
        end()
        with pytest.raises(ConnectionClosed) as ended:
            connection.recv(timeout=30)
        assert ended.value.rcvd is not None and ended.value.rcvd.code == POLICY_VIOLATION
        assert all(line.startswith(("retry:", ":")) or not line for line in events.iter_lines())
    with pytest.raises(InvalidStatus), following(node, said):
        pass
    assert "Traceback" not in node.log()


def test_news_end_with_the_token_that_let_them_in(closed: NodeProcess) -> None:
    token = closed.token("sync")
    with httpx.Client(base_url=closed.url, headers={"Origin": closed.url}) as client:
        token_id = log_in(client, token).json()["token_id"]
    other = {"Authorization": f"Bearer {closed.token('sync')}"}
    with following(closed, other) as bystander:
        assert_news_end(
            closed,
            {"Authorization": f"Bearer {token}"},
            lambda: control.request(closed.data_dir, "revoke_token", {"id": token_id}),
        )
        bystander.send('{"type":"ping"}')
        assert json.loads(bystander.recv(timeout=10)) == {"type": "pong"}


def test_news_end_with_the_login_that_let_them_in(closed: NodeProcess) -> None:
    with httpx.Client(base_url=closed.url, headers={"Origin": closed.url}) as client:
        log_in(client, closed.token("operator"))
        said = {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
        assert_news_end(closed, said, lambda: client.delete(SESSION))


def test_news_end_when_the_hours_of_a_login_are_over(tmp_path: Path) -> None:
    program = [sys.executable, "-c", SHORT_LOGINS]
    node = NodeProcess(tmp_path / "node", {"public_read": False}, program)
    try:
        token = node.token("operator")
        with httpx.Client(base_url=node.url, headers={"Origin": node.url}) as client:
            log_in(client, token)
            assert_news_end(node, {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"})
    finally:
        node.stop()


# --- the log ---


def test_every_route_that_changes_something_is_an_act_or_brings_readings(
    server: NodeProcess,
) -> None:
    paths = server.client.get("/schema/openapi.json").json()["paths"]
    unsafe = {"post", "put", "patch", "delete"}
    assert {path for path, methods in paths.items() if methods.keys() & unsafe} == (
        NO_ACTS | ACTS.keys()
    )


@pytest.mark.parametrize("path", ACTS)
def test_an_act_leaves_a_line_before_it_is_done(server: NodeProcess, path: str) -> None:
    method, act, body = ACTS[path]
    secret = server.token("admin")
    target = path.replace("{number}", "424242")
    with httpx.Client(base_url=server.url, headers={"Origin": server.url}) as client:
        if path == SESSION:
            log_in(client, secret)
        else:
            client.headers["Authorization"] = f"Bearer {secret}"
        answer = client.request(method, target, json=body)
    newest = lines(server, 3)
    line = next(line for line in newest if line["act"] == act)
    assert line["who"].endswith("(admin)")
    assert line["address"] == "127.0.0.1"
    if answer.status_code >= 400:
        (failed,) = (line for line in newest if line["act"] == f"{act} failed")
        assert failed["details"] == {"line": line["id"], "reason": answer.json()["error"]["code"]}
    assert not re.search("not.to.be.kept|not-kept", json.dumps(newest))


def test_who_may_not_leaves_no_line(server: NodeProcess) -> None:
    before = lines(server, 1)[0]["id"]
    sent = {"sender": "x"}
    assert_is_error(server.client.post("/api/v1/inbox/ignore", json=sent), 401)
    secret = server.token("sensor", "s-1")
    bearer = {"Authorization": f"Bearer {secret}"}
    assert_is_error(server.client.post("/api/v1/inbox/ignore", json=sent, headers=bearer), 403)
    assert [line["act"] for line in lines(server, 10) if line["id"] > before] == ["token"]


def test_every_command_that_is_not_known_to_only_look_leaves_a_line(node: Node) -> None:
    """Without arguments most of them fail, which leaves a second line."""
    known = commands(node)

    async def run(name: str) -> None:
        request = json.dumps({"command": name}).encode()
        await control.answer(known, request)

    for name in known:
        before = max((line.id for line in node.access.audit.list(1)), default=0)
        anyio.run(run, name)
        acts = [line.act for line in node.access.audit.list(10) if line.id > before]
        only_looks = name in READS or (name in ONLY_LOOKS and ONLY_LOOKS[name]({}))
        assert bool(acts) != only_looks, name
        assert all(act in (name, f"{name} failed") for act in acts)


@pytest.mark.parametrize(
    ("name", "given", "is_done"),
    [
        ("regrade", {"is_dry_run": True}, False),
        ("regrade", {"is_dry_run": False}, True),
        ("sensor_calibrate", {"id": "a", "reference_id": "b", "is_applied": False}, False),
        ("sensor_calibrate", {"id": "a", "reference_id": "b", "is_applied": True}, True),
        ("sensor_calibrate", {"id": "a", "line": {"gain": 1.1, "shift": 0}}, True),
        ("sensor_calibrate", {"id": "a", "is_ended": True}, True),
    ],
)
def test_what_only_shows_what_would_be_done_is_no_act(
    name: str, given: dict[str, Any], is_done: bool
) -> None:
    assert is_act(name, given) is is_done


def test_lines_are_neither_changed_nor_removed(node: Node) -> None:
    async def act() -> None:
        await commands(node)["token"]({"scope": "gateway"})  # type: ignore[operator]

    anyio.run(act)
    for statement in ("DELETE FROM audit", "UPDATE audit SET who = 'somebody else'"):
        with pytest.raises(apsw.Error, match="append-only"):
            node.database.write_and_wait(partial(apsw.Connection.execute, statements=statement))
    (line,) = node.access.audit.list(10)
    assert (line.who, line.act, line.details) == ("local command", "token", {"scope": "gateway"})


def test_nothing_is_done_that_the_log_cannot_hold(node: Node) -> None:
    node.database.write_and_wait(lambda connection: connection.execute("DROP TABLE audit"))

    async def act() -> None:
        await commands(node)["token"]({"scope": "gateway"})  # type: ignore[operator]

    with pytest.raises(Exception):  # noqa: B017
        anyio.run(act)
    assert len(node.tokens) == 0


def test_the_log_is_listed_and_exported_whole(server: NodeProcess, tmp_path: Path) -> None:
    secret = server.token("admin")
    answer = server.client.get(
        "/api/v1/audit", headers={"Authorization": f"Bearer {secret}"}, params={"limit": 2}
    ).json()
    assert [line["act"] for line in answer["lines"]][0] == "token"
    assert secret not in json.dumps(answer)
    listed = json.loads(server.run("audit", "list", "--json", "--limit", "1000").stdout)
    out = tmp_path / "audit.ndjson"
    server.run("audit", "export", str(out))
    exported = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in exported] == [line["id"] for line in listed]
    assert exported[-1]["id"] == 1
    table = server.run("audit", "export", "-", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [int(row["id"]) for row in rows] == [line["id"] for line in listed]


def test_the_first_start_shows_an_admin_token_once(start_node: Callable[..., NodeProcess]) -> None:
    node = start_node()
    (secret,) = re.findall(r"admin token, shown this once: (\S+)", node.log())
    bearer = {"Authorization": f"Bearer {secret}"}
    assert node.client.get("/api/v1/audit", headers=bearer).status_code == 200
    node.stop()
    start_node(node.data_dir)
    assert node.log().count("admin token") == 1
