"""Rules for alerts: what is one, and a clear word about what is none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from urbanos_edge.alerts.rules import read_rule
from urbanos_edge.errors import BadRequest, Unprocessable
from urbanos_edge.grid import Bounds, Tile

OVER = {"when": "over", "quantity": "pm25", "threshold": 35.4}


@pytest.mark.parametrize(
    ("rule", "title"),
    [
        (OVER, "pm25 over 35.4"),
        (OVER | {"when": "under", "quantity": "temperature", "threshold": -20}, None),
        (OVER | {"quantity": "aqi", "margin": 5, "for_s": 600, "clear_for_s": 60}, None),
        (OVER | {"name": "Smoke at the harbour", "sensor_id": "a"}, "Smoke at the harbour"),
        ({"when": "silent", "for_s": 3600}, "silent sensor"),
        ({"when": "stuck"}, "stuck sensor"),
    ],
)
def test_a_rule_is_read_and_has_a_title(rule: dict[str, Any], title: str | None) -> None:
    read = read_rule(msgspec.json.encode(rule))
    assert {name: getattr(read, name) for name in rule} == rule
    assert title is None or read.title == title


def test_an_area_is_a_grid_or_a_box() -> None:
    assert read_rule(OVER).area is None
    assert read_rule(OVER | {"grid_id": "z12-x2331-y1185"}).area == Tile(12, 2331, 1185)
    box = [24.8, 60.1, 25.2, 60.3]
    assert read_rule(OVER | {"bbox": box}).area == Bounds(24.8, 60.1, 25.2, 60.3)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "missing required field `when`"),
        (OVER | {"when": "above"}, "Invalid enum value 'above'"),
        (OVER | {"treshold": 1}, "unknown field `treshold`"),
        (OVER | {"quantity": "pm2.5"}, "'quantity' must be one of pm1, pm25"),
        ({"when": "over", "quantity": "pm25"}, "'threshold' is missing"),
        (OVER | {"threshold": "35"}, "Expected `float | null`, got `str`"),
        (OVER | {"margin": -1}, "Expected `float` >= 0.0"),
        (OVER | {"for_s": -1}, "Expected `int` >= 0"),
        (OVER | {"for_s": 8 * 86_400}, "Expected `int` <= 604800"),
        ({"when": "silent"}, "after how many seconds of silence, 60 or more"),
        ({"when": "silent", "for_s": 59}, "60 or more"),
        ({"when": "silent", "for_s": 60, "threshold": 1}, "'threshold' means nothing"),
        ({"when": "stuck", "quantity": "pm25"}, "'quantity' means nothing"),
        (OVER | {"sensor_id": "a", "grid_id": "z1-x0-y0"}, "one of 'sensor_id', 'grid_id'"),
        (OVER | {"grid_id": "z1-x9-y0"}, "outside zoom 1"),
        (OVER | {"bbox": [25, 60, 24, 61]}, "minLng, minLat, maxLng, maxLat"),
        (OVER | {"bbox": [25, 60, 24]}, "Expected `array` of length >= 4"),
        (OVER | {"url": "ftp://example.org"}, "matching regex"),
        (OVER | {"url": "http://example.org:99999/"}, "impossible port"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_clear_word(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        read_rule(msgspec.json.encode(rule))
    assert words in refused.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"threshold": NaN}'])
def test_what_is_no_json_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_rule(body)
