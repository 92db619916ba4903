"""What a node and a centre answer alike: one suite over both, and over both kinds of centre.

Three back ends know the same readings: the node that got them, a centre that it sends its readings
to, and a centre that gets the aggregates of a node with the same readings. There a sensor is its
cell of zoom 18, and hours stand for readings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, NamedTuple

import anyio
import httpx
import mapbox_vector_tile
import mercantile
import pytest
from websockets.sync.client import connect

from tests.central.conftest import opened
from tests.central.serving import CentralProcess, reader_of
from tests.http.listening import Client, events
from tests.http.sending import (
    SECOND_US,
    Spot,
    assert_is_error,
    box_around,
    moment,
    now_us,
    send,
    spot_number,
)
from tests.postgres import Postgres
from tests.processes import NodeProcess
from urbanos_edge import control
from urbanos_edge.adapters import node_json
from urbanos_edge.grid import tile_at
from urbanos_edge.node import OWN_TOKEN, Node
from urbanos_edge.settings import Settings

MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
HERE: Final = spot_number(40)
NEAR: Final = Spot(HERE.grid_id, HERE.lat + 0.004, HERE.lng + 0.004)
ODD: Final = Spot(HERE.grid_id, HERE.lat - 0.004, HERE.lng - 0.004)
LIVE: Final = {"node": spot_number(60), "readings": spot_number(62), "aggregates": spot_number(64)}
KEPT: Final = {"node": spot_number(66), "readings": spot_number(68), "aggregates": spot_number(70)}
WEATHER: Final = {"node": spot_number(20_000), "readings": spot_number(20_002)}
FLAGGED: Final = {"node": spot_number(20_300), "readings": spot_number(20_302)}
ORANGE, YELLOW, RED = "#ff7e00", "#ffff00", "#ff0000"


class Back(NamedTuple):
    """One back end: where it is asked, and how it gets what the node has."""

    kind: str
    client: httpx.Client
    bring: Callable[[list[dict[str, Any]]], None]
    """Takes readings to where this one has them from."""
    began_us: int
    """The beginning of the hour in which the readings end."""

    @property
    def has_readings(self) -> bool:
        return self.kind != "aggregates"

    def id_of(self, sensor_id: str, spot: Spot) -> str:
        """What the back end calls a sensor at a spot."""
        return sensor_id if self.has_readings else tile_at(spot.lat, spot.lng, 18).grid_id

    def get(self, path: str, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def tile(self, spot: Spot, zoom: int, **query: Any) -> dict[str, list[dict[str, Any]]]:
        """The features of a tile by layer."""
        tile = mercantile.tile(spot.lng, spot.lat, zoom)
        path = f"/tiles/readings/{zoom}/{tile.x}/{tile.y}.mvt"
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/vnd.mapbox-vector-tile"
        layers = mapbox_vector_tile.decode(answer.content, default_options={"y_coord_down": True})
        assert {layer["extent"] for layer in layers.values()} <= {4096}
        return {name: layer["features"] for name, layer in layers.items()}


class Address(NamedTuple):
    """As much of a process as `events` asks of it."""

    url: str


def measured(sensor_id: str, spot: Spot, at_us: int, pm25: float, **more: float) -> dict[str, Any]:
    return {
        "sensor_id": sensor_id,
        "location": {"lat": spot.lat, "lng": spot.lng},
        "timestamp": moment(at_us),
        "values": {"pm25": pm25, **more},
    }


def sent_at(hour_us: int) -> list[dict[str, Any]]:
    """Three sensors: two with indexes 50, 100, 150 and 200, one whose reading is flagged."""
    before_us = hour_us - HOUR_US
    return [
        measured("first", HERE, before_us + 5 * MINUTE_US, 9.0, temperature=-3.5),
        measured("first", HERE, before_us + 35 * MINUTE_US, 35.4, temperature=-4.5),
        measured("first", HERE, hour_us + 5 * MINUTE_US, 55.4),
        measured("second", NEAR, hour_us + 15 * MINUTE_US, 125.4, pm10=154.0),
        measured("odd", ODD, hour_us + 20 * MINUTE_US, 9.0, humidity=150.0, pressure=1e300),
    ]


@pytest.fixture(scope="module")
def backs(
    postgres: Postgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Back]]:
    """All of them, with the same readings."""
    folder, hour_us = tmp_path_factory.mktemp("backs"), (now_us() // HOUR_US - 1) * HOUR_US
    with ExitStack() as stack:
        nodes = {"neighbour_radius_km": 0, "flush_interval_s": 600}
        made: dict[str, Back] = {}
        for kind in ("readings", "aggregates"):
            postgres.create(f"contract_{kind}", template)
            centre = stack.enter_context(opened(postgres, f"contract_{kind}"))
            stack.callback(centre.forget_nodes)
            dsn = centre.add_node(f"contract-{kind}")
            synced = nodes | {"node_id": f"contract-{kind}", "sync_mode": kind, "sync_dsn": dsn}
            served = CentralProcess(folder / f"{kind}.central.log", reader_of(centre))
            stack.callback(served.stop)
            if kind == "readings":
                process = NodeProcess(folder / kind, synced)
                stack.callback(process.stop)
                token = process.token()
                made["node"] = Back("node", process.client, partial(post, process, token), hour_us)
                bring = partial(post_and_sync, process, token)
            else:
                node = Node(Settings(**synced), folder)  # type: ignore[arg-type]
                stack.callback(node.close)
                bring = partial(store_and_sync, node)
            bring(sent_at(hour_us))
            made[kind] = Back(kind, served.client, bring, hour_us)
        yield made


def post(process: NodeProcess, token: str, readings: list[dict[str, Any]]) -> None:
    """Over HTTP, to a real node."""
    send(process, token, *readings)


def post_and_sync(process: NodeProcess, token: str, readings: list[dict[str, Any]]) -> None:
    post(process, token, readings)
    control.request(process.data_dir, "sync_now")


def store_and_sync(node: Node, readings: list[dict[str, Any]]) -> None:
    """The same of a node in this process: it is the centre that is asked."""
    lines = "\n".join(map(json.dumps, readings)).encode()

    async def work() -> None:
        await node.ingest.accept(node_json.read_lines(lines), OWN_TOKEN)
        await node.flush()
        await node.sync.bring_everything()

    anyio.run(work)


@pytest.fixture(params=["node", "readings", "aggregates"])
def back(backs: dict[str, Back], request: pytest.FixtureRequest) -> Back:
    """Each of them in turn."""
    return backs[request.param]


# --- grids and clusters ---


@pytest.mark.parametrize("zoom", [0, 6, 8, 12])
def test_a_grid_has_the_count_mean_and_maximum_of_its_unflagged_readings(
    back: Back, zoom: int
) -> None:
    told = back.get(f"/api/v1/grids/{HERE.at_zoom(zoom)}")
    assert (told["grid_id"], told["zoom_level"]) == (HERE.at_zoom(zoom), zoom)
    assert (told["data_count"], told["avg_aqi"], told["max_aqi"]) == (4, 125.0, 200)
    box = mercantile.bounds(mercantile.tile(HERE.lng, HERE.lat, zoom))
    edges = {"minLat": box.south, "maxLat": box.north, "minLng": box.west, "maxLng": box.east}
    assert told["bounds"] == pytest.approx(edges)
    assert told["last_updated"][:13] == moment(back.began_us)[:13], "to the hour"


def test_a_fine_grid_has_only_what_lies_in_it(back: Back) -> None:
    told = back.get(f"/api/v1/grids/{HERE.at_zoom(18)}")
    assert (told["data_count"], told["avg_aqi"], told["max_aqi"]) == (3, 100.0, 150)


def test_clusters_gather_what_lies_together(back: Back) -> None:
    found = back.get("/api/v1/clusters", **box_around(HERE, 0.01), gridSize=0.002)
    assert [(one["count"], one["avg_aqi"], one["max_aqi"]) for one in found] == [
        (3, 100.0, 150),
        (1, 200.0, 200),
    ]
    for one, spot in zip(found, (HERE, NEAR), strict=True):
        assert abs(one["lat"] - spot.lat) < 0.0025
        assert abs(one["lng"] - spot.lng) < 0.0025


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/grids/z99-x0-y0",
        "/api/v1/clusters?minLat=2&maxLat=1&minLng=0&maxLng=1",
        "/api/v1/clusters?minLat=0&maxLat=1&minLng=0&maxLng=1&gridSize=0",
        "/api/v1/grids/bounds?minLat=-80&maxLat=80&minLng=-180&maxLng=180&zoom=18",
        "/tiles/readings/3/9/1.mvt",
        "/tiles/readings/3/1/1.mvt?quantity=humidity",
        "/api/v1/live?gridIds=nowhere",
    ],
)
def test_what_makes_no_sense_is_refused_in_the_same_words(
    backs: dict[str, Back], path: str
) -> None:
    errors = [assert_is_error(back.client.get(path), 422) for back in backs.values()]
    assert errors[0] == errors[1] == errors[2]


def test_what_is_not_there_is_not_found(back: Back) -> None:
    assert_is_error(back.client.get("/api/v1/nothing"), 404)
    if back.has_readings:
        assert_is_error(back.client.get("/api/v1/sensors/nobody"), 404)
        assert_is_error(back.client.get("/api/v1/sensors/nobody/history"), 404)


# --- tiles ---


@pytest.mark.parametrize("zoom", [0, 9, 12, 14])
def test_a_tile_shows_each_sensor_where_it_is_with_its_latest(back: Back, zoom: int) -> None:
    drawn = {one["properties"]["id"]: one for one in back.tile(HERE, zoom)["sensors"]}
    tile = mercantile.tile(HERE.lng, HERE.lat, zoom)
    reach = 2 if back.has_readings else 2 + 4096 / 2 ** (18 - zoom)
    for name, spot, aqi, level in (("first", HERE, 150, 3), ("second", NEAR, 200, 4)):
        told = drawn[back.id_of(name, spot)]
        properties = told["properties"]
        assert (properties["aqi"], properties["level"], properties["flags"]) == (aqi, level, "")
        assert back.began_us <= properties["at"] * SECOND_US < back.began_us + HOUR_US
        corner = mercantile.bounds(tile)
        x = (spot.lng - corner.west) / (corner.east - corner.west) * 4096
        assert abs(told["geometry"]["coordinates"][0] - x) <= reach
    if back.has_readings:
        assert drawn["first"]["properties"]["dominant"] == "pm25"
    if back.has_readings and zoom <= 12:
        assert drawn["odd"]["properties"]["flags"] == "range"


def test_a_tile_gathers_clusters_with_their_numbers_and_colours(back: Back) -> None:
    clusters = back.tile(HERE, 14)["clusters"]
    told = {one["properties"]["color"]: one["properties"] for one in clusters}
    expected: dict[str, dict[str, Any]] = {
        ORANGE: {"count": 3, "avg_aqi": 100.0, "max_aqi": 150, "latest_aqi": 150.0},
        RED: {"count": 1, "avg_aqi": 200.0, "max_aqi": 200, "latest_aqi": 200.0},
    }
    for color, numbers in expected.items():
        assert {name: told[color][name] for name in numbers} == numbers
        assert (told[color]["sensors"], told[color]["latest_max_aqi"]) == (
            1,
            numbers["latest_aqi"],
        )


@pytest.mark.parametrize("zoom", [6, 14])
def test_what_has_no_index_has_no_level(backs: dict[str, Back], zoom: int) -> None:
    for kind in ("node", "readings"):
        back, spot = backs[kind], WEATHER[kind]
        back.bring([measured("weather", spot, now_us(), 0) | {"values": {"temperature": 4.0}}])
        [told] = [one["properties"] for one in back.tile(spot, zoom)["sensors"]]
        assert not {"aqi", "level"} & told.keys(), kind


def test_a_cluster_of_flagged_readings_alone_has_the_colour_of_none(backs: dict[str, Back]) -> None:
    told = []
    for kind in ("node", "readings"):
        back, spot = backs[kind], FLAGGED[kind]
        back.bring([measured(f"was-well-{kind}", spot, back.began_us - HOUR_US, 9.0)])
        back.bring([measured(f"was-well-{kind}", spot, now_us(), 9.0, humidity=150.0)])
        [cluster] = [one["properties"] for one in back.tile(spot, 14)["clusters"]]
        told.append((cluster["color"], cluster["count"], cluster.get("latest_aqi")))
    assert told[0] == told[1] == ("#888888", 1, None)


def test_one_cluster_has_all_that_is_nearby(back: Back) -> None:
    (cluster,) = back.tile(HERE, 9)["clusters"]
    told = cluster["properties"]
    assert (told["count"], told["avg_aqi"], told["max_aqi"]) == (4, 125.0, 200)
    assert (told["latest_aqi"], told["latest_max_aqi"]) == (175.0, 200)


def test_a_tile_of_an_hour_shows_the_means_of_that_hour(back: Back) -> None:
    at = moment(back.began_us - HOUR_US // 2)
    (drawn,) = back.tile(HERE, 14, at=at)["sensors"]
    assert (drawn["properties"]["aqi"], drawn["properties"]["level"]) == (75, 2)
    (cluster,) = back.tile(HERE, 14, at=at)["clusters"]
    assert cluster["properties"]["color"] == YELLOW


def test_a_tile_of_a_pollutant_shows_its_own_index(back: Back) -> None:
    """40 CFR 58, appendix G, table 1: 154 µg/m³ of PM10 are 100; who has none is not shown."""
    layers = back.tile(HERE, 14, quantity="pm10")
    [drawn] = [one["properties"] for one in layers["sensors"]]
    assert drawn["id"] == back.id_of("second", NEAR)
    assert (drawn["aqi"], drawn["level"], drawn["dominant"]) == (100, 2, "pm10")
    [cluster] = [one["properties"] for one in layers["clusters"]]
    told = {"count": 1, "avg_aqi": 100.0, "max_aqi": 100, "latest_aqi": 100.0, "color": YELLOW}
    assert {name: cluster[name] for name in told} == told
    both = {one["properties"]["aqi"] for one in back.tile(HERE, 14, quantity="pm25")["sensors"]}
    assert both - {50} == {150, 200}, "the flagged one may be there, too"
    assert back.tile(HERE, 14, quantity="o3") == {}


def test_where_nothing_is_a_tile_is_empty(back: Back) -> None:
    answer = back.client.get("/tiles/readings/14/3/3.mvt")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_tilejson_names_both_layers(back: Back) -> None:
    told = back.get("/tiles/readings.json")
    assert [layer["id"] for layer in told["vector_layers"]] == ["clusters", "sensors"]


# --- sensors and their histories ---


def test_a_sensor_is_listed_and_shown_with_its_values(back: Back) -> None:
    listed = back.get("/api/v1/sensors")
    ids = [one["id"] for one in listed["sensors"]]
    assert ids == sorted(ids)
    assert (listed["count"], listed["total"]) == (len(ids), len(ids))
    first = back.id_of("first", HERE)
    shown = back.get(f"/api/v1/sensors/{first}")
    (entry,) = (one for one in listed["sensors"] if one["id"] == first)
    assert entry["latest"]["aqi_value"] == shown["latest"]["aqi_value"] == 150
    assert shown["latest"]["values"]["pm25"]["value"] == 55.4
    after = back.get("/api/v1/sensors", after=first, limit=1)
    assert [one["id"] for one in after["sensors"]] == ids[ids.index(first) + 1 :][:1]


def test_a_history_of_hours_has_the_exact_sums(back: Back) -> None:
    until_us = back.began_us + HOUR_US
    told = back.get(
        f"/api/v1/sensors/{back.id_of('first', HERE)}/history",
        **{"from": moment(until_us - 3 * HOUR_US), "to": moment(until_us), "resolution": "1h"},
        quantity="pm25,aqi,temperature",
    )
    assert [at[:13] for at in told["at"]] == [
        moment(until_us - 2 * HOUR_US)[:13],
        moment(until_us - HOUR_US)[:13],
    ]
    pm25, aqi = told["series"]["pm25"], told["series"]["aqi"]
    assert (pm25["count"], pm25["avg"]) == ([2, 1], [22.2, 55.4])
    assert (pm25["min"], pm25["max"], pm25["flagged"]) == ([9.0, 55.4], [35.4, 55.4], [0, 0])
    assert (aqi["avg"], aqi["max"]) == ([75.0, 150.0], [100.0, 150.0])
    assert told["series"]["temperature"]["avg"] == [-4.0, None]


def test_a_history_of_days_adds_up_its_hours(back: Back) -> None:
    span = {"from": moment(back.began_us - 23 * HOUR_US), "to": moment(back.began_us + HOUR_US)}
    path = f"/api/v1/sensors/{back.id_of('first', HERE)}/history"
    told = back.get(path, **span, resolution="1d")
    assert sum(told["series"]["pm25"]["count"]) == 3
    assert max(told["series"]["aqi"]["max"]) == 150


@pytest.mark.parametrize("kind", ["node", "readings"])
@pytest.mark.parametrize("resolution", ["5m", "1h"])
def test_a_flagged_reading_is_counted_apart_however_large(
    backs: dict[str, Back], kind: str, resolution: str
) -> None:
    back, quantities = backs[kind], "humidity,pressure"
    span = {"from": moment(back.began_us), "to": moment(back.began_us + HOUR_US)}
    asked = {**span, "resolution": resolution, "quantity": quantities}
    told = back.get("/api/v1/sensors/odd/history", **asked)
    for series in map(told["series"].get, quantities.split(",")):
        assert (series["count"], series["flagged"], series["avg"]) == ([0], [1], [None])


@pytest.mark.parametrize("resolution", ["raw", "5m"])
def test_readings_one_by_one_are_where_readings_are(back: Back, resolution: str) -> None:
    span = {"from": moment(back.began_us - HOUR_US), "to": moment(back.began_us + HOUR_US)}
    path = f"/api/v1/sensors/{back.id_of('first', HERE)}/history"
    answer = back.client.get(path, params={**span, "resolution": resolution, "quantity": "pm25"})
    if not back.has_readings:
        assert assert_is_error(answer, 501)["code"] == "readings_not_synced"
        return
    told, minutes = answer.json(), (5, 35, 65)
    moments = [back.began_us - HOUR_US + minute * MINUTE_US for minute in minutes]
    assert told["at"] == [moment(at_us).replace(".000000+00:00", "Z") for at_us in moments]
    series = told["series"]["pm25"]
    assert (series["value"] if resolution == "raw" else series["avg"]) == [9.0, 35.4, 55.4]


# --- rows ---


def test_rows_are_where_readings_are(back: Back) -> None:
    answer = back.client.get(f"/api/v1/grids/{HERE.grid_id}/data")
    if not back.has_readings:
        assert assert_is_error(answer, 501)["code"] == "readings_not_synced"
        box = back.client.get("/api/v1/grids/bounds", params=box_around(HERE, 0.01))
        assert assert_is_error(box, 501)["code"] == "readings_not_synced"
        return
    rows = answer.json()
    assert [row["sensor_id"] for row in rows] == ["odd", "second", "first", "first", "first"]
    assert [row["aqi_value"] for row in rows] == [50, 200, 150, 100, 50]
    assert rows[0]["flags"] == ["range"]


def test_both_hold_the_same_rows(backs: dict[str, Back]) -> None:
    """Each field, and at each zoom."""
    for zoom in (0, 11, 12, 13, 18):
        path = f"/api/v1/grids/{HERE.at_zoom(zoom)}/data"
        here, there = (backs[kind].get(path) for kind in ("node", "readings"))
        assert here == there, zoom
        assert here
    for zoom in (10, 14):
        query = {**box_around(HERE, 0.01), "zoom": zoom}
        here, there = (
            backs[kind].get("/api/v1/grids/bounds", **query) for kind in ("node", "readings")
        )
        assert here == there
        assert here["count"] == 5
    limited = backs["readings"].get(f"/api/v1/grids/{HERE.grid_id}/data", limit=2)
    assert [row["sensor_id"] for row in limited] == ["odd", "second"]


# --- answers ---


def test_an_answer_is_kept_tagged_and_confirmed(back: Back) -> None:
    path = f"/api/v1/grids/{HERE.at_zoom(16)}"
    back.client.get(path)
    answer = back.client.get(path)
    assert answer.headers["x-cache"] == "HIT"
    assert answer.headers["cache-control"].startswith("public, max-age=10, s-maxage=10")
    again = back.client.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_one_sensor_is_kept_until_something_is_new(back: Back) -> None:
    sensor_id, spot, at_us = f"kept-{back.kind}", KEPT[back.kind], now_us() - SECOND_US
    path = f"/api/v1/sensors/{back.id_of(sensor_id, spot)}"
    address = str(back.client.base_url).replace("http", "ws") + "/ws"
    with connect(address) as connection:
        client = Client(connection)
        client.subscribe(spot.grid_id)
        back.bring([measured(sensor_id, spot, at_us, 35.4)])
        client.hear()
        first = back.client.get(path)
        again = back.client.get(path, headers={"If-None-Match": first.headers["etag"]})
        back.bring([measured(sensor_id, spot, at_us + SECOND_US, 55.4)])
        client.hear()
        then = back.client.get(path)
    assert (again.status_code, again.content) == (304, b"")
    values = [answer.json()["latest"]["values"]["pm25"]["value"] for answer in (first, then)]
    assert values[0] == 35.4 < values[1], "of a cell it is the mean of the hour"


# --- live ---


def test_who_follows_a_grid_hears_of_what_came_in_and_may_ask_at_once(back: Back) -> None:
    sensor_id, at_us, spot = f"live-{back.kind}", now_us(), LIVE[back.kind]
    address = str(back.client.base_url).replace("http", "ws") + "/ws"
    follower = Address(str(back.client.base_url).rstrip("/"))
    before = back.get(f"/api/v1/grids/{spot.grid_id}")["data_count"]
    with connect(address) as connection, events(follower, spot.at_zoom(5)) as next_event:  # type: ignore[arg-type]
        client = Client(connection)
        client.subscribe(spot.grid_id)
        back.bring([measured(sensor_id, spot, at_us, 35.4)])
        frame = client.hear()
        after = back.get(f"/api/v1/grids/{spot.grid_id}")["data_count"]
        _, event = next_event()
    assert (frame["type"], frame["gridId"]) == ("grid-update", spot.grid_id)
    assert event["gridId"] == spot.at_zoom(5)
    assert frame["data"]["count"] >= 1
    assert frame["data"]["maxAqi"] == 100
    assert after == before + 1
    shown = [row["sensor_id"] for row in frame["data"]["readings"]]
    assert shown[:1] == ([sensor_id] if back.has_readings else [])
    if not back.has_readings:
        assert frame["data"]["truncated"] is True, "the news are in the tile"
