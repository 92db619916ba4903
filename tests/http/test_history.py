"""A sensor's history over HTTP: what may be asked, what is refused, and what is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.http.sending import (
    SECOND_US,
    Spot,
    assert_is_error,
    moment,
    now_us,
    send,
    spot_number,
)
from tests.http.sending import reading as reading_at
from tests.processes import NodeProcess

HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
SPOT = spot_number(900)


def history(node: NodeProcess, sensor_id: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", None)
    more = {name.rstrip("_"): value for name, value in more.items()}
    return node.client.get(f"/api/v1/sensors/{sensor_id}/history", params=more, headers=headers)


def measured(node: NodeProcess, sensor_id: str, **more: Any) -> dict[str, Any]:
    answer = history(node, sensor_id, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_history_is_columns_of_the_same_length(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    """Two good readings and a flagged one in an hour, another one in the hour after."""
    hour_us = (now_us() // HOUR_US - 5) * HOUR_US
    values: list[tuple[int, dict[str, float]]] = [
        (0, {"pm25": 9.0}),
        (600, {"pm25": 35.4, "temperature": 4.5}),
        (1200, {"pm25": 225.4, "humidity": 150}),
        (3600, {"pm25": 0.0}),
    ]
    sent = [
        reading_at(spot, "columns", hour_us + at_s * SECOND_US, values=one) for at_s, one in values
    ]
    send(server, gateway, *sent)
    span = {"from_": moment(hour_us), "to": moment(hour_us + 2 * HOUR_US)}
    shown = measured(server, "columns", **span, resolution="1h", quantity="pm25,aqi,temperature")
    at = [moment(hour_us + n * HOUR_US)[:19] + "Z" for n in range(3)]
    assert shown == {
        "sensor_id": "columns",
        "resolution": "1h",
        "from": at[0],
        "to": at[2],
        "time_zone": "UTC",
        "at": at[:2],
        "series": {
            "aqi": {
                "unit": "index",
                "count": [2, 1],
                "avg": [75.0, 0.0],
                "min": [50.0, 0.0],
                "max": [100.0, 0.0],
                "flagged": [1, 0],
            },
            "pm25": {
                "unit": "µg/m³",
                "count": [2, 1],
                "avg": [22.2, 0.0],
                "min": [9.0, 0.0],
                "max": [35.4, 0.0],
                "flagged": [1, 0],
            },
            "temperature": {
                "unit": "°C",
                "count": [1, 0],
                "avg": [4.5, None],
                "min": [4.5, None],
                "max": [4.5, None],
                "flagged": [0, 0],
            },
        },
        "truncated": False,
    }
    raw = measured(server, "columns", **span, resolution="raw", quantity="pm25,humidity")
    assert raw["flags"] == [[], [], ["range"], []]
    assert raw["series"]["pm25"] == {"unit": "µg/m³", "value": [9.0, 35.4, 225.4, 0.0]}
    assert raw["series"]["humidity"]["value"] == [None, None, 150.0, None]
    assert (raw["truncated"], raw["next_from"]) == (False, None)


def test_without_a_span_it_is_the_last_24_hours(
    server: NodeProcess, gateway: str, spot: Spot
) -> None:
    end_us = now_us()
    ages_h = (1, 23, 25)
    sent = [reading_at(spot, "daily", end_us - age_h * HOUR_US) for age_h in ages_h]
    send(server, gateway, *sent)
    shown = measured(server, "daily")
    assert shown["resolution"] == "5m"
    assert len(shown["at"]) == 2
    begin, end = (datetime.fromisoformat(shown[edge]) for edge in ("from", "to"))
    assert (end - begin).total_seconds() == 24 * 3600
    assert begin.timestamp() <= end_us / 1e6 <= end.timestamp() + 1
    since = measured(server, "daily", from_=moment(end_us - 26 * HOUR_US), resolution="raw")
    assert len(since["at"]) == 3
    until = measured(server, "daily", to=moment(end_us - 2 * HOUR_US), resolution="raw")
    assert len(until["at"]) == 2


BAD = {
    "a date alone": ({"from_": "2026-01-01"}, "invalid_from", "from"),
    "no zone": ({"to": "2026-01-01T00:00:00"}, "invalid_to", "to"),
    "no moment": ({"from_": "yesterday"}, "invalid_from", "from"),
    "nothing": ({"from_": ""}, "invalid_from", "from"),
    "a plus that became a space": ({"to": "2026-01-01T00:00:00 02:00"}, "invalid_to", "%2B"),
    "the 30th of February": ({"to": "2026-02-30T00:00:00Z"}, "invalid_to", "to"),
    "the year 1": ({"from_": "0001-01-01T00:00:00+14:00"}, "invalid_from", "1970"),
    "the year 9999": ({"to": "9999-12-31T23:59:59-14:00"}, "invalid_to", "2999"),
    "nothing between": (
        {"from_": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        "invalid_range",
        "from",
    ),
    "backwards": (
        {"from_": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        "invalid_range",
        "before",
    ),
    "a resolution of our own": ({"resolution": "10m"}, "unknown_resolution", "1h"),
    "an empty resolution": ({"resolution": ""}, "unknown_resolution", "raw"),
    "an unknown quantity": ({"quantity": "radon"}, "unknown_quantity", "pm25"),
    "one unknown of two": ({"quantity": "pm25,radon"}, "unknown_quantity", "radon"),
    "no quantity": ({"quantity": ""}, "unknown_quantity", "pm25"),
    "a pattern": ({"quantity": ".*"}, "unknown_quantity", "pm25"),
    "eight raw days": (
        {"from_": "2026-01-01T00:00:00Z", "to": "2026-01-09T00:00:00Z", "resolution": "raw"},
        "range_too_large",
        "7 days",
    ),
    "fifty years": ({"from_": "1970-01-01T00:00:00Z"}, "range_too_large", "7320 days"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_answered_is_refused_by_name(
    server: NodeProcess, gateway: str, case: str
) -> None:
    send(server, gateway, reading_at(SPOT, "refused"))
    given, code, said = BAD[case]
    error = assert_is_error(history(server, "refused", **given), 422)
    assert error["code"] == code
    assert said in error["message"]


def test_an_unknown_sensor_has_no_history(server: NodeProcess) -> None:
    error = assert_is_error(history(server, "nobody"), 404)
    assert error["code"] == "not_found"


def test_an_unchanged_history_costs_a_304_also_when_its_time_is_over(
    start_node: Callable[..., NodeProcess], spot: Spot
) -> None:
    node = start_node(cache_ttl_historical_s=0.3)
    token = node.token()
    end_us = now_us() - 2 * HOUR_US
    send(node, token, reading_at(spot, "still", end_us - HOUR_US))
    span = {"from_": moment(end_us - DAY_US), "to": moment(end_us)}
    first = history(node, "still", **span)
    assert first.headers.get("X-Cache") == "MISS", first.text
    assert "max-age=300" in first.headers["Cache-Control"]
    time.sleep(0.5)
    send(node, token, reading_at(spot, "still", now_us()))
    held = {"If-None-Match": first.headers["ETag"]}
    again = history(node, "still", **span, headers=held)
    assert (again.status_code, again.headers["X-Cache"]) == (304, "HIT")
    send(node, token, reading_at(spot, "still", end_us - 3 * HOUR_US))
    late = history(node, "still", **span, headers=held)
    assert (late.status_code, late.headers["X-Cache"]) == (200, "MISS")
    assert len(late.json()["at"]) == 2
    held = {"If-None-Match": late.headers["ETag"]}
    node.stop()
    node = start_node(cache_ttl_historical_s=0.3)
    assert history(node, "still", **span, headers=held).status_code == 304


def test_what_was_kept_is_there_after_a_restart(
    start_node: Callable[..., NodeProcess], spot: Spot
) -> None:
    node = start_node()
    end_us = now_us() - 2 * HOUR_US
    span = {"from_": moment(end_us - DAY_US), "to": moment(end_us), "resolution": "raw"}
    send(node, node.token(), reading_at(spot, "kept", end_us - HOUR_US))
    before = history(node, "kept", **span)
    node.stop()
    after = history(start_node(), "kept", **span)
    assert after.headers["X-Cache"] == "HIT"
    assert after.content == before.content


@pytest.mark.parametrize("resolution", ["raw", "5m", "1h", "1d"])
def test_a_late_reading_is_there_at_the_next_request(
    server: NodeProcess, gateway: str, spot: Spot, resolution: str
) -> None:
    sensor_id, end_us = f"late-{resolution}", now_us()
    send(server, gateway, reading_at(spot, sensor_id, end_us - 20 * HOUR_US))
    for number in range(2, 5):
        shown = measured(server, sensor_id, resolution=resolution, quantity="pm25")
        series = shown["series"]["pm25"]
        assert sum(series.get("count", [1] * len(shown["at"]))) == number - 1
        late = reading_at(spot, sensor_id, end_us - number * 3 * HOUR_US)
        send(server, gateway, late)


def test_requests_within_a_slot_share_an_answer(
    start_node: Callable[..., NodeProcess], spot: Spot
) -> None:
    node = start_node(cache_ttl_historical_s=86_400)
    send(node, node.token(), reading_at(spot, "shared"))
    first, second = history(node, "shared"), history(node, "shared", resolution="5m")
    assert [answer.headers["X-Cache"] for answer in (first, second)] == ["MISS", "HIT"]
    assert first.headers["ETag"] == second.headers["ETag"]


def test_the_schema_names_the_parameters(server: NodeProcess) -> None:
    paths = server.client.get("/schema/openapi.json").json()["paths"]
    parameters = paths["/api/v1/sensors/{sensor_id}/history"]["get"]["parameters"]
    names = {parameter["name"] for parameter in parameters}
    assert names == {"sensor_id", "from", "to", "resolution", "quantity"}
