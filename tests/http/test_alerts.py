"""Alerts of real nodes: over HTTP and `/ws`, and told to a receiver on the loopback address."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http.listening import listening
from tests.http.sending import Spot, assert_is_error, now_us, reading, send
from tests.processes import NodeProcess, wait_until
from tests.receiver import SECRET, Receiver, receiving
from urbanos_edge import control
from urbanos_edge.alerts.delivery import signature
from urbanos_edge.errors import SettingsError
from urbanos_edge.settings import load

SECOND_US = 1_000_000
SMOKE = {"when": "over", "quantity": "pm25", "threshold": 35, "margin": 5}
RULES = "/api/v1/alert-rules"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def told_node(receiver: Receiver, start_node: Callable[..., NodeProcess]) -> NodeProcess:
    """A node that flushes when told, and tells the receiver of alerts."""
    return start_node(alert_webhook_url=receiver.url, alert_secret=SECRET, flush_interval_s=3600)


def add(node: NodeProcess, **rule: Any) -> int:
    number: int = control.request(node.data_dir, "alert_add", SMOKE | rule)["id"]
    return number


def smoke(spot: Spot, sensor_id: str, pm25: float, ago_s: float = 0, **more: Any) -> dict[str, Any]:
    at_us = now_us() - round(ago_s * SECOND_US)
    return reading(spot, sensor_id, at_us, values={"pm25": pm25}, **more)


def alerts(node: NodeProcess) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = node.client.get("/api/v1/alerts").json()["alerts"]
    return listed


def states(node: NodeProcess) -> list[tuple[str, bool]]:
    return [(alert["sensor_id"], alert["cleared_at"] is None) for alert in alerts(node)]


def test_an_alert_is_raised_listed_told_and_cleared(
    told_node: NodeProcess, receiver: Receiver, spot: Spot
) -> None:
    gateway = told_node.token()
    number = add(told_node, for_s=600, name="Smoke")
    send(told_node, gateway, smoke(spot, "one", 80, ago_s=700))
    assert alerts(told_node) == []
    send(told_node, gateway, smoke(spot, "one", 36))
    [alert] = alerts(told_node)
    assert (alert["rule"], alert["rule_id"], alert["grid_id"]) == ("Smoke", number, spot.grid_id)
    assert (alert["sensor_id"], alert["value"], alert["threshold"]) == ("one", 36, 35)
    send(told_node, gateway, smoke(spot, "one", 31))
    assert states(told_node) == [("one", True)]
    send(told_node, gateway, smoke(spot, "one", 30))
    assert states(told_node) == [("one", False)]
    wait_until(lambda: len(receiver.got) == 2, 10)
    raised, cleared = receiver.got
    assert receiver.story() == [("raised", "one"), ("cleared", "one")]
    assert raised.event["alert"] == alert
    assert cleared.event["alert"] == alerts(told_node)[0]
    assert raised.event["node_id"] == told_node.status()["node"]["id"]


def test_what_is_told_is_signed(told_node: NodeProcess, receiver: Receiver, spot: Spot) -> None:
    add(told_node)
    send(told_node, told_node.token(), smoke(spot, "one", 80))
    wait_until(lambda: receiver.got, 10)
    [got] = receiver.got
    assert got.is_signed()
    assert not got.is_signed(SECRET.replace("A", "B"))
    assert got.headers["webhook-id"] == got.event["id"]
    assert got.headers["content-type"] == "application/json"
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 30


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"WEBHOOK_URL": "http://alarm.example/"}, "needs an alert_secret"),
        ({"SECRET": "secret"}, "alert_secret"),
        ({"SECRET": "whsec_short"}, "alert_secret"),
        ({"SECRET": SECRET, "WEBHOOK_URL": "http://alarm.example:99999/"}, "impossible port"),
        ({"MQTT_URL": "http://broker.example"}, "alert_mqtt_url"),
        ({"MQTT_URL": "mqtt://"}, "alert_mqtt_url"),
        ({"MQTT_TOPIC": "alerts/#"}, "alert_mqtt_topic"),
    ],
)
def test_settings_that_could_tell_nobody_stop_the_start(
    variables: dict[str, str], words: str
) -> None:
    environment = {f"URBANOS_ALERT_{name}": value for name, value in variables.items()}
    with pytest.raises(SettingsError, match=words):
        load({}, environment=environment)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The vector that the specification's own libraries are tested with."""
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_urgent_reading_raises_its_alert_within_a_second(
    told_node: NodeProcess, receiver: Receiver, spot: Spot
) -> None:
    """The quickest of three: other programs are at work here, too."""
    gateway, took_s = told_node.token(), []
    add(told_node)
    with listening(told_node, spot.grid_id) as client:
        for sensor_id in ("one", "two", "three"):
            began_s = time.monotonic()
            sent = smoke(spot, sensor_id, 80, priority=9)
            assert told_node.post(sent, gateway).status_code == 202
            update, alert = client.hear(), client.hear()
            took_s.append(time.monotonic() - began_s)
            told = (update["type"], alert["type"], alert["event"])
            assert told == ("grid-update", "alert", "raised")
            assert alert["gridId"] == spot.grid_id
            assert alert["seq"] == update["seq"] + 1
            assert alert["alert"] == alerts(told_node)[0]
            wait_until(lambda: receiver.got, 10)
            assert receiver.got.pop().event["id"] == alert["id"]
    assert min(took_s) < 1
    assert told_node.status()["spool"]["readings"] == 3
    told_node.flush()
    assert states(told_node) == [("three", True), ("two", True), ("one", True)]


def test_alerts_are_heard_at_every_zoom_and_nowhere_else(
    told_node: NodeProcess, spot: Spot, other_spot: Spot
) -> None:
    gateway = told_node.token()
    add(told_node)
    grids = ["z0-x0-y0", spot.at_zoom(7), spot.at_zoom(18)]
    with (
        listening(told_node, *grids) as around,
        listening(told_node, other_spot.grid_id) as elsewhere,
        listening(told_node) as nowhere,
    ):
        send(told_node, gateway, smoke(spot, "one", 80))
        heard = [frame for frame in around.heard_until_now() if frame["type"] == "alert"]
        assert sorted(frame["gridId"] for frame in heard) == sorted(grids)
        assert len({frame["id"] for frame in heard}) == 1
        assert elsewhere.heard_until_now() == nowhere.heard_until_now() == []


def test_who_comes_back_hears_the_alerts_it_missed(told_node: NodeProcess, spot: Spot) -> None:
    gateway = told_node.token()
    add(told_node)
    with listening(told_node, spot.grid_id) as client:
        send(told_node, gateway, smoke(spot, "one", 10))
        last = client.hear()
    send(told_node, gateway, smoke(spot, "one", 80))
    with listening(told_node, spot.grid_id) as client:
        client.say("resume", seq=last["seq"], boot=last["boot"])
        missed = client.heard_until_now()
    assert [(frame["type"], frame["seq"] - last["seq"]) for frame in missed] == [
        ("grid-update", 1),
        ("alert", 2),
    ]


def test_server_sent_events_carry_alerts(told_node: NodeProcess, spot: Spot) -> None:
    gateway = told_node.token()
    add(told_node)
    parameters = {"gridIds": spot.grid_id}
    with told_node.client.stream("GET", "/api/v1/live", params=parameters) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        told_node.post(smoke(spot, "one", 80, priority=9), gateway)
        frames = (json.loads(line[6:]) for line in lines if line.startswith("data: "))
        assert [next(frames)["type"], next(frames)["type"]] == ["grid-update", "alert"]


def test_a_receiver_that_was_down_gets_each_event_once_and_in_order(
    told_node: NodeProcess, receiver: Receiver, spot: Spot
) -> None:
    gateway = told_node.token()
    add(told_node)
    receiver.status = 500
    for pm25 in (80, 5, 80, 5, 80):
        send(told_node, gateway, smoke(spot, "one", pm25))
    wait_until(lambda: len(receiver.got) >= 2, 10)
    assert len({got.event["id"] for got in receiver.got}) == 1, "the first is not overtaken"
    assert told_node.status()["alerts"]["receivers_failing"] == 1
    receiver.status = 204
    wait_until(lambda: len(receiver.confirmed) == 5, 20)
    kinds = ["raised", "cleared", "raised", "cleared", "raised"]
    assert receiver.story() == [(kind, "one") for kind in kinds]
    assert all(got.is_signed() for got in receiver.got)
    time.sleep(1.5)
    assert len(receiver.confirmed) == 5
    status = told_node.status()["alerts"]
    assert (status["events_waiting"], status["receivers_failing"]) == (0, 0)
    assert "hidden" not in told_node.log()


def test_what_was_not_told_before_a_crash_is_told_after_it(
    start_node: Callable[..., NodeProcess], receiver: Receiver, spot: Spot
) -> None:
    settings = {
        "alert_webhook_url": receiver.url,
        "alert_secret": SECRET,
        "flush_interval_s": 3600,
    }
    receiver.status = 503
    node = start_node(**settings)
    add(node, for_s=600)
    gateway = node.token()
    send(node, gateway, smoke(spot, "one", 80, ago_s=700))
    node.kill()
    node = start_node(**settings)
    send(node, gateway, smoke(spot, "one", 80))
    assert states(node) == [("one", True)], "what held before the crash counts"
    node.kill()
    receiver.status = 200
    node = start_node(**settings)
    wait_until(lambda: receiver.confirmed, 20)
    send(node, gateway, smoke(spot, "one", 90))
    send(node, gateway, smoke(spot, "one", 5))
    wait_until(lambda: len(receiver.confirmed) == 2, 10)
    assert receiver.story() == [("raised", "one"), ("cleared", "one")]
    assert states(node) == [("one", False)]


def test_a_receiver_that_hangs_holds_up_no_other(
    told_node: NodeProcess, receiver: Receiver, spot: Spot
) -> None:
    gateway = told_node.token()
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        add(told_node, url=f"http://127.0.0.1:{hanging.getsockname()[1]}/")
        send(told_node, gateway, smoke(spot, "one", 80))
        connection, _ = hanging.accept()
        with connection:
            add(told_node)
            wait_until(lambda: receiver.story() == [("raised", "one")], 5)
        assert told_node.status()["alerts"]["events_waiting"] == 1


def test_a_rule_is_made_listed_and_removed_by_an_operator(
    told_node: NodeProcess, receiver: Receiver, spot: Spot
) -> None:
    send(told_node, told_node.token(), smoke(spot, "one", 80))
    operator = {"Authorization": f"Bearer {told_node.token('operator')}"}
    client = told_node.client
    made = client.post(RULES, json=SMOKE | {"url": receiver.url}, headers=operator)
    assert (made.status_code, made.json()["raised"]) == (201, 1)
    listed = client.get(RULES, headers=operator).json()
    assert listed == {"rules": [made.json()], "count": 1}
    assert listed["rules"][0] | SMOKE == listed["rules"][0]
    assert "hidden" not in client.get("/api/v1/alerts").text
    number = made.json()["id"]
    tried = client.post(f"{RULES}/{number}/test", headers=operator)
    assert (tried.status_code, tried.json()) == (200, {"delivered": ["webhook"]})
    wait_until(lambda: len(receiver.got) == 2, 10)
    assert {got.event["event"] for got in receiver.got} == {"raised", "test"}
    assert client.delete(f"{RULES}/{number}", headers=operator).json() == {"removed": number}
    assert [alert["cleared_by"] for alert in alerts(told_node)] == ["rule_removed"]
    assert_is_error(client.delete(f"{RULES}/{number}", headers=operator), 404)
    assert client.get(RULES, headers=operator).json()["count"] == 0


def test_rules_are_for_operators_and_alerts_for_everybody(server: NodeProcess) -> None:
    gateway = {"Authorization": f"Bearer {server.token()}"}
    for headers, status in (({}, 401), (gateway, 403)):
        assert_is_error(server.client.get(RULES, headers=headers), status)
        assert_is_error(server.client.post(RULES, json=SMOKE, headers=headers), status)
        assert_is_error(server.client.delete(f"{RULES}/1", headers=headers), status)
        assert_is_error(server.client.post(f"{RULES}/1/test", headers=headers), status)
    answer = server.client.get("/api/v1/alerts")
    assert answer.status_code == 200
    again = server.client.get("/api/v1/alerts", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("{}", 422, "`when`"),
        (json.dumps(SMOKE | {"quantity": "smell"}), 422, "'quantity' must be one of"),
        (json.dumps(SMOKE | {"grid_id": "here"}), 422, "is not a grid id"),
        (json.dumps(SMOKE | {"url": "http://127.0.0.1/"}), 422, "set alert_secret first"),
        ("{", 400, "not JSON"),
    ],
)
def test_a_wrong_rule_is_refused_with_a_clear_word(
    server: NodeProcess, body: str, status: int, words: str
) -> None:
    operator = {"Authorization": f"Bearer {server.token('operator')}"}
    error = assert_is_error(server.client.post(RULES, content=body, headers=operator), status)
    assert words in error["message"]


def test_the_commands_do_the_same(
    told_node: NodeProcess, receiver: Receiver, spot: Spot, tmp_path: Path
) -> None:
    added = told_node.run("alert", "add", "--quantity", "pm25", "--over", "35", "--name", "Smoke")
    send(told_node, told_node.token(), smoke(spot, "one", 80))
    [rule] = json.loads(told_node.run("alert", "list", "--json").stdout)
    assert (str(rule["id"]), rule["name"], rule["raised"]) == (added.stdout.strip(), "Smoke", 1)
    assert "pm25 over 35" in told_node.run("alert", "list").stdout
    [alert] = json.loads(told_node.run("alert", "list", "--raised", "--json").stdout)
    assert alert == alerts(told_node)[0]
    assert told_node.run("alert", "test").stderr == "webhook: confirmed\n"
    receiver.status = 500
    failed = told_node.run("alert", "test", added.stdout.strip(), check=False)
    assert (failed.returncode, failed.stderr) == (1, "urbanos-edge: it answered 500\n")
    told_node.run("alert", "remove", added.stdout.strip())
    assert states(told_node) == [("one", False)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--over", "35"], 1, "'quantity' must be one of"),
        (["--silent", "--stuck"], 2, "say one of --over, --under, --silent and --stuck"),
        (["--silent", "--for", "soon"], 2, "write 90s, 10m, 2h or 1d"),
        (["--stuck", "--bbox", "1,2"], 2, "four numbers are needed"),
    ],
)
def test_a_wrong_command_says_what_to_do(
    server: NodeProcess, words: list[str], code: int, said: str
) -> None:
    ended = server.run("alert", "add", *words, check=False)
    assert ended.returncode == code
    assert said in ended.stderr


def test_commands_work_on_a_resting_node(start_node: Callable[..., NodeProcess]) -> None:
    node = start_node()
    node.stop()
    number = node.run("alert", "add", "--silent", "--for", "10m", "--sensor", "one").stdout.strip()
    [rule] = json.loads(node.run("alert", "list", "--json").stdout)
    assert (rule["for_s"], rule["sensor_id"]) == (600, "one")
    failed = node.run("alert", "test", check=False)
    assert (failed.returncode, "nobody is told" in failed.stderr) == (1, True)
    node.run("alert", "remove", number)
    assert json.loads(node.run("alert", "list", "--json").stdout) == []
