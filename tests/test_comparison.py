"""What counts as another answer of a new version, and what does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from urbanos_edge.deploy.comparison import Answer, difference, is_worth_asking, percentile, shape


def answer(value: Any, status: int = 200, media_type: str = "application/json") -> Answer:
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return Answer(status, media_type, body, 0.001)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ([{"aqi": 51}], [{"aqi": 51}], None),
        ({"aqi": 51}, {"aqi": 51.0}, None),
        ({"avg": 0.1 + 0.2}, {"avg": 0.3}, None),
        ({"aqi": 51}, {"aqi": 51, "nowcast_aqi": 40}, None),
        ({"boot": "a1", "seq": 7, "aqi": 51}, {"boot": "b2", "seq": 0, "aqi": 51}, None),
        ({"aqi": 51}, {"aqi": 52}, "says 52 at .aqi, not 51"),
        ({"aqi": 51}, {"aqi": None}, "says null at .aqi, not 51"),
        ({"aqi": 51}, {}, "lacks .aqi"),
        ([1, 2, 3], [1, 2], "has 2 entries, not 3"),
        ({"rows": [{"id": "a"}]}, {"rows": [{"id": "b"}]}, 'says "b" at .rows[0].id, not "a"'),
    ],
)
def test_a_value_that_changed_or_went_is_a_difference(
    old: Any, new: Any, words: str | None
) -> None:
    assert difference("/api/v1/clusters", answer(old), answer(new)) == words


def test_another_status_or_kind_is_a_difference() -> None:
    assert difference("/", answer({}), answer({}, 500)) == "answered 500, not 200"
    old, new = answer(b"x", media_type="image/png"), answer(b"x", media_type="text/html")
    assert difference("/", old, new) == "is text/html, not image/png"


def test_bytes_must_be_equal_but_those_of_a_page() -> None:
    tile = "application/vnd.mapbox-vector-tile"
    old, new = answer(b"\x1a\x02", media_type=tile), answer(b"\x1a\x03", media_type=tile)
    assert difference("/tiles/readings/0/0/0.mvt", old, new) == "holds other bytes"
    page, other = answer(b"<p>1", media_type="text/html"), answer(b"<p>2", media_type="text/html")
    assert difference("/", page, other) is None


def test_of_what_a_node_says_of_itself_only_the_fields_count() -> None:
    old = answer({"disk": {"free_bytes": 7}, "faults": []})
    assert (
        difference("/api/v1/status", old, answer({"disk": {"free_bytes": 8}, "faults": []})) is None
    )
    assert difference("/api/v1/status", old, answer({"disk": {}, "faults": []})) == (
        "lacks .disk.free_bytes"
    )


def test_a_shape_is_its_fields_whatever_is_in_them() -> None:
    assert shape({"a": [{"b": 1}, {"c": 2}], "d": None}) == {
        "",
        ".a",
        ".a[]",
        ".a[].b",
        ".a[].c",
        ".d",
    }


def test_streams_and_devices_are_not_asked_again() -> None:
    assert is_worth_asking("/api/v1/grids/z12-x2330-y1185/data?limit=5")
    assert not is_worth_asking("/api/v1/live?gridIds=z12-x2330-y1185")
    assert not is_worth_asking("/sensors/airgradient:abc/one/config")


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([5.0, 1.0, 4.0, 2.0, 3.0], 0.5) == 3.0
    assert percentile([float(n) for n in range(1, 101)], 0.95) == 95.0
    assert percentile([7.0], 0.95) == 7.0
