"""The registry's list and the pages: cached and packed, each form with an ETag of its own."""

from __future__ import annotations

import httpx
import pytest

from tests.http.sending import Spot, reading, send
from tests.processes import NodeProcess

LIST = "/api/v1/sensors?limit=10000"


def names(answer: httpx.Response) -> set[str]:
    return {sensor["id"] for sensor in answer.json()["sensors"]}


@pytest.fixture
def listed(server: NodeProcess, gateway: str, spot: Spot) -> NodeProcess:
    """A node whose list is long enough to be packed."""
    send(server, gateway, *[reading(spot, f"listed-{number}") for number in range(20)])
    return server


@pytest.mark.parametrize("path", [LIST, "/", "/licences.txt"])
def test_each_form_has_an_etag_of_its_own_and_any_of_them_gives_304(
    listed: NodeProcess, path: str
) -> None:
    forms = [
        listed.client.get(path, headers={"Accept-Encoding": coding})
        for coding in ("gzip;q=0", "gzip")
    ]
    assert [form.headers.get("Content-Encoding") for form in forms] == [None, "gzip"]
    assert forms[0].content == forms[1].content
    tags = [form.headers["ETag"] for form in forms]
    assert len(set(tags)) == 2
    for held in tags:
        for coding in ("identity", "gzip"):
            headers = {"Accept-Encoding": coding, "If-None-Match": held}
            answer = listed.client.get(path, headers=headers)
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["ETag"] == held


def test_a_page_is_not_packed_for_who_refuses_it(server: NodeProcess) -> None:
    answer = server.client.get("/", headers={"Accept-Encoding": "gzip;q=0, zstd"})
    assert "Content-Encoding" not in answer.headers


def test_the_list_is_a_hit_until_a_reading_or_a_sensor_comes(
    listed: NodeProcess, gateway: str, spot: Spot, other_spot: Spot
) -> None:
    first, second = listed.client.get(LIST), listed.client.get(LIST)
    assert second.headers["X-Cache"] == "HIT"
    assert (second.content, second.headers["ETag"]) == (first.content, first.headers["ETag"])
    send(listed, gateway, reading(spot, "listed-3", values={"pm25": 55.4}))
    third = listed.client.get(LIST)
    assert third.headers["X-Cache"] == "MISS"
    assert third.headers["ETag"] != first.headers["ETag"]
    [known] = [sensor for sensor in third.json()["sensors"] if sensor["id"] == "listed-3"]
    assert known["latest"]["aqi_value"] == 150


def test_a_sensor_is_listed_as_soon_as_it_is_registered(
    listed: NodeProcess, gateway: str, spot: Spot
) -> None:
    assert "newcomer" not in names(listed.client.get(LIST))
    assert listed.post(reading(spot, "newcomer"), gateway).status_code == 202
    assert "newcomer" in names(listed.client.get(LIST))


def test_pages_of_the_list_are_kept_apart(listed: NodeProcess) -> None:
    two = listed.client.get("/api/v1/sensors?limit=2").json()
    more = listed.client.get(f"/api/v1/sensors?limit=2&after={two['sensors'][-1]['id']}").json()
    ids = [sensor["id"] for page in (two, more) for sensor in page["sensors"]]
    assert len(set(ids)) == 4
    assert ids == sorted(ids)
