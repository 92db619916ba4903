"""Explanations over HTTP: the chain of a shown number, kept and told apart, and what is refused."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.http.sending import SECOND_US, Spot, assert_is_error, moment, now_us, reading, send
from tests.processes import NodeProcess

HOUR_US = 3600 * SECOND_US


def explain(server: NodeProcess, sensor_id: str, **query: str) -> httpx.Response:
    headers = {"If-None-Match": query.pop("held")} if "held" in query else None
    path = f"/api/v1/sensors/{sensor_id}/explain"
    return server.client.get(path, params=query, headers=headers)


def test_the_latest_number_is_explained_until_there_is_another(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    send(server, gateway, reading(spot, "asked", values={"pm25": 35.4, "humidity": 60}))
    first = explain(server, "asked")
    assert first.status_code == 200, first.text
    assert first.headers["Cache-Control"].startswith("public, max-age=10")
    assert list(first.json()) == [
        "sensor_id",
        "standard",
        "reading",
        "values",
        "quality",
        "averages",
        "index",
        "grading",
    ]
    assert first.json()["index"]["overall"]["aqi_value"] == 100
    held = first.headers["ETag"]
    assert explain(server, "asked", held=held).status_code == 304
    send(server, gateway, reading(spot, "asked", values={"pm25": 55.4}))
    second = explain(server, "asked", held=held)
    assert second.status_code == 200
    assert second.json()["index"]["overall"]["aqi_value"] == 150
    then = explain(server, "asked", at=first.json()["reading"]["timestamp"], quantity="pm25")
    assert then.json()["values"]["pm25"]["value"] == 35.4
    assert then.json()["index"] == first.json()["index"]


def test_the_averages_of_a_sensor_are_those_that_are_explained(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """24 hours of 9.0 µg/m³, the last value of the first band: all averages have an index of 50."""
    until_us = now_us() // HOUR_US * HOUR_US
    sent = [reading(spot, "steady", until_us - 60 * SECOND_US - n * HOUR_US) for n in range(25)]
    send(server, gateway, *sent)
    shown = server.client.get("/api/v1/sensors/steady").json()["averages"]
    told: dict[str, Any] = explain(server, "steady").json()["averages"]
    assert shown == {
        "until": told["until"],
        "aqi_value": 50,
        "level": 1,
        "dominant": "pm25",
        "nowcast_aqi": 50,
        "nowcast": {"pm25": 9.0},
        "mean_24h": {"pm25": 9.0},
    }
    by_period = {one["over"]: one for one in told["quantities"]["pm25"]["averages"]}
    assert by_period["NowCast"]["value"] == by_period["24h running"]["value"] == 9.0
    assert (told["nowcast_aqi"], told["overall"]["aqi_value"]) == (50, 50)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"at": "yesterday"}, 422, "invalid_at"),
        ({"at": "2026-11-23T10:00:00"}, 422, "invalid_at"),
        ({"quantity": "radon"}, 422, "unknown_quantity"),
        ({"quantity": "pm25,pm10"}, 422, "unknown_quantity"),
        ({"quantity": "o3"}, 404, "not_found"),
        ({"at": "2001-01-01T00:00:00Z"}, 404, "not_found"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_its_reason(
    server: NodeProcess, gateway: str, spot: Spot, query: dict[str, str], status: int, code: str
) -> None:
    send(server, gateway, reading(spot, "refused"))
    assert assert_is_error(explain(server, "refused", **query), status)["code"] == code
    assert_is_error(explain(server, "nobody-knows", **query), 404, 422)


def test_a_number_that_two_channels_disagree_about_is_explained_as_one_left_out(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """The node's own format carries it, too: of one reading, and of many in columns."""
    at_us = now_us() - 1000 * SECOND_US
    torn = reading(spot, "torn", at_us, channels_disagree=True)
    many = [reading(spot, "torn", at_us + n * SECOND_US) for n in range(1, 50)]
    many.append(reading(spot, "torn", at_us + 50 * SECOND_US, channels_disagree=True))
    assert server.post(torn, gateway).status_code == 202
    send(server, gateway, *many)
    for at in (at_us, at_us + 50 * SECOND_US):
        told = explain(server, "torn", at=moment(at)).json()
        assert [one["flag"] for one in told["quality"]["flags"]] == ["channels"]
        assert not told["quality"]["is_counted"]
    told = explain(server, "torn", at=moment(at_us + 49 * SECOND_US)).json()
    assert told["quality"]["flags"] == []
