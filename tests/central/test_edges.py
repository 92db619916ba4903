"""What lies at the edges of the map is on it."""

from __future__ import annotations

import json
from pathlib import Path

import mapbox_vector_tile
import pytest

from tests.central.conftest import Centre
from tests.central.serving import CentralProcess, reader_of
from urbanos_edge.grid import tile_at

PLACES = {
    "taveuni": (-16.8, 180.0),
    "alert": (86.5, -62.3),
    "north": (90.0, 180.0),
    "amundsen": (-90.0, 0.0),
    "helsinki": (60.171, 24.941),
}


def test_its_log_is_written_as_the_settings_say(
    centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("URBANOS_LOG_FORMAT", "json")
    served = CentralProcess(tmp_path / "log", reader_of(centre))
    served.stop()
    address, *lines = served.log().splitlines()
    assert address.startswith("the centre is on ")
    assert {json.loads(line)["level"] for line in lines} == {"info"}


@pytest.mark.parametrize("query", ["", "?pollutant=pm25"])
def test_sensors_at_180_degrees_and_beyond_the_last_row_are_in_the_outermost_tiles(
    centre: Centre, tmp_path: Path, query: str
) -> None:
    centre.add_node("edge", "readings")
    for name, (lat, lng) in PLACES.items():
        centre.owner.execute(
            "INSERT INTO pollution_data (grid_id, location, timestamp, created_date, aqi_value,"
            " pm25, pm25_aqi, node_id, sensor_id) VALUES (%s, ST_Point(%s, %s, 4326), now(),"
            " (now() AT TIME ZONE 'UTC')::DATE, 50, 9, 50, 'edge', %s)",
            (tile_at(lat, lng, 12).grid_id, lng, lat, name),
        )
    served = CentralProcess(tmp_path / "log", reader_of(centre))
    try:
        for name, (lat, lng) in PLACES.items():
            for zoom in (0, 1, 12, 18):
                tile = tile_at(lat, lng, zoom)
                path = f"/tiles/readings/{zoom}/{tile.x}/{tile.y}.mvt{query}"
                layers = mapbox_vector_tile.decode(served.client.get(path).content)
                shown = {one["properties"]["id"]: one for one in layers["sensors"]["features"]}
                assert name in shown, (name, zoom)
                place = shown[name]["geometry"]["coordinates"]
                assert all(0 <= part <= 4096 for part in place), (name, zoom, place)
        listed = served.client.get("/api/v1/sensors").json()["sensors"]
    finally:
        served.stop()
    assert {one["id"]: (one["lat"], one["lng"]) for one in listed} == {
        name: pytest.approx(place, abs=1e-6) for name, place in PLACES.items()
    }
