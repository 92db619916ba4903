"""What may stand in `[[pull]]`, and what stops the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from urbanos_edge.errors import SettingsError
from urbanos_edge.feeds import MAX_FEEDS, Feed, parse_bbox
from urbanos_edge.settings import load

AQ = {"kind": "openaq", "url": "https://api.openaq.org/v3", "key": "k"}
TOWN = {"kind": "json", "url": "https://town.example/air.json"}


def loaded(*feeds: dict[str, Any]) -> tuple[Feed, ...]:
    return load({"pull": list(feeds)}, environment={}).pull


def test_tables_of_the_file_and_json_of_the_environment_say_the_same(tmp_path: Path) -> None:
    config = tmp_path / "urbanos.toml"
    config.write_text(
        "[[pull]]\n"
        'kind = "airgradient"\nname = "roof"\nurl = "http://10.0.0.7/measures/current"\n'
        "lat = 60.171\nlng = 24.941\n"
        '[[pull]]\nkind = "openaq"\nurl = "https://api.openaq.org/v3"\nkey = "k"\n'
        "locations = [7, 8]\nevery_s = 1800\n"
    )
    monitor = {"kind": "airgradient", "name": "roof", "url": "http://10.0.0.7/measures/current"}
    feeds = [
        {**monitor, "lat": 60.171, "lng": 24.941},
        {**AQ, "locations": [7, 8], "every_s": 1800},
    ]
    environment = {"URBANOS_PULL": json.dumps(feeds)}
    from_file = load({}, config=config, environment={}).pull
    assert from_file == load({}, environment=environment).pull
    assert [feed.label for feed in from_file] == ["roof", "openaq"]
    assert [feed.interval_s for feed in from_file] == [10, 1800]
    assert from_file[0].place == (60.171, 24.941)


@pytest.mark.parametrize(
    ("feeds", "said"),
    [
        ([{**TOWN, "maps": "x"}], "unknown field `maps`"),
        ([{"kind": "json"}], "missing required field `url`"),
        ([{**TOWN, "kind": "xml"}], r"pull\[0\].kind: Invalid enum value 'xml'"),
        ([{**TOWN, "url": "file:///etc/passwd"}], "url"),
        ([{**TOWN, "url": "http://x:0/"}], "pull 'json': url names no host"),
        ([{**TOWN, "every_s": 9}], "Expected `float` >= 10"),
        ([{**TOWN, "name": "Town Hall"}], "name"),
        ([TOWN, TOWN], "two pulls are called 'json'; give each a name"),
        ([{**TOWN, "name": "airgradient"}], "sensors of others are called 'airgradient-…'"),
        ([{**TOWN, "name": "openaq-2"}], "sensors of others are called 'openaq-…'"),
        ([{**TOWN, "lat": 60}], "a place needs both, lat and lng"),
        ([{**TOWN, "lat": 91, "lng": 0}], "Expected `float` <= 90"),
        ([{**TOWN, "bbox": "1,2,3,4"}], "'bbox' means nothing to kind json"),
        ([{**TOWN, "kind": "csv", "records": "data"}], "'records' means nothing to kind csv"),
        ([{**TOWN, "map": "dust=x"}], "map: 'dust' is neither a quantity nor a place"),
        ([{**TOWN, "map": "no2=x:ugm3"}], "map: no2 in ugm3 needs the temperature"),
        ([{**TOWN, "time_zone": "Mars/Base"}], "time_zone 'Mars/Base' is unknown"),
        ([{**TOWN, "time_format": "%Q"}], "time_format '%Q' cannot be read back"),
        ([{**AQ, "key": "", "bbox": "1,2,3,4"}], "openaq needs a key"),
        ([{**AQ, "key": "ä", "bbox": "1,2,3,4"}], "key"),
        ([AQ], "say where: either bbox or locations"),
        ([{**AQ, "bbox": "1,2,3,4", "locations": [1]}], "say where: either bbox or locations"),
        ([{**AQ, "bbox": "3,2,1,4"}], "bbox '3,2,1,4' is not minLng,minLat,maxLng,maxLat"),
        ([{**AQ, "locations": list(range(51))}], "length <= 50"),
        ([{**AQ, "bbox": "1,2,3,4", "map": "no2=no2_ugm3:ugm3"}], "needs the temperature"),
        ([{**TOWN, "name": f"n{i}"} for i in range(MAX_FEEDS + 1)], "101 pulls are too many"),
    ],
)
def test_a_wrong_table_stops_the_start_and_is_named(feeds: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        loaded(*feeds)


def test_what_is_no_json_in_the_environment_is_named() -> None:
    with pytest.raises(SettingsError, match="pull is no JSON"):
        load({}, environment={"URBANOS_PULL": "[{"})


def test_a_box_lies_on_the_globe() -> None:
    assert parse_bbox("24.8, 60.1, 25.1, 60.3") == [24.8, 60.1, 25.1, 60.3]
    for text in ("", "1,2,3", "1,2,3,x", "1,2,1,4", "-181,0,0,1", "0,0,1,91", "nan,0,1,1"):
        assert parse_bbox(text) is None
