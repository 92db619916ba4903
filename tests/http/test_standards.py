"""What the node tells of its index, and of those it could have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.processes import NodeProcess


@pytest.mark.parametrize(
    ("name", "pollutants", "words"),
    [
        ("eu-eea-2024", {"pm25", "pm10", "no2", "o3", "so2"}, ["Good", "Extremely poor"]),
        ("uk-defra-2013", {"pm25", "pm10", "no2", "o3", "so2"}, ["Low", "Very High"]),
    ],
)
def test_a_node_tells_the_standard_it_is_set_to(
    start_node: Callable[..., NodeProcess], name: str, pollutants: set[str], words: list[str]
) -> None:
    node = start_node(aqi_standard=name)
    told = node.client.get("/api/v1/standard").json()
    assert (told["id"], node.status()["aqi_standard"]) == (name, name)
    assert set(told["pollutants"]) == told["periods"].keys() == pollutants
    assert [told["bands"][at]["word"] for at in (0, -1)] == words
    [hourly] = told["periods"]["no2"]
    starts = hourly.pop("starts")
    assert hourly == {
        **{"period": "1h", "current": "1h", "unit": "µg/m³", "celsius": 20},
        "starts_unit": "ppb",
    }
    lows = [start["low"] for start in starts]
    assert lows[0] == 0 and lows == sorted(lows)
    assert [start["level"] for start in starts] == [band["level"] for band in told["bands"]]


def test_all_standards_are_listed_with_their_sources(server: NodeProcess) -> None:
    told = server.client.get("/api/v1/standards").json()
    assert [one["id"] for one in told] == ["us-epa-2024", "eu-eea-2024", "uk-defra-2013"]
    assert server.client.get("/api/v1/standard").json() == told[0]
    for one in told:
        assert one["publisher"] and one["document"] and one["date"] and one["assist"]
        assert all(band["assist_color"].startswith("#") for band in one["bands"])
    [daily] = told[0]["periods"]["pm25"]
    assert (daily["period"], daily["current"]) == ("24h", "NowCast")
    assert (daily["unit"], daily["celsius"]) == ("µg/m³", None)
    assert daily["starts"][1] == {"level": 2, "low": 9.1}
