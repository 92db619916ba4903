"""What must not break the page: names that are code, answers that are none, a storage that is full.

That no script runs but the page's own, and that nothing is thrown, each visit checks by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.browser.pages import Visit, reading
from tests.processes import NodeProcess

Open = Callable[..., Visit]

CODE = '<img src="x" onerror="window.hacked = true">'
TAG = '"><script>window.hacked = true</script>'
LONG = "Long" * 125
RIGHT_TO_LEFT = "\u202eمدرسة القرية"
NAMES = [CODE, TAG, LONG, RIGHT_TO_LEFT]
GARBAGE: list[str | bytes] = [
    "",
    "null",
    "[[[[",
    '{"type":"grid-update"}',
    '{"type":"grid-update","gridId":"z99-x0-y0","seq":"one","data":{"readings":[1,null,{}]}}',
    '{"type":"grid-update","gridId":"../../x","seq":1,"boot":1,"data":{"readings":[{"flags":1}]}}',
    '{"type":"alert","gridId":1}',
    "x" * 100_000,
    b"\x00\xff\xfe",
]


@pytest.fixture
def sensors(demo: NodeProcess, gateway: str) -> list[str]:
    """Sensors that the tests give bad names to, far from all others."""
    ids = [f"named-{place}" for place in range(len(NAMES))]
    rows = [reading(id_, 61.5, 23.7 + place / 100, 20.0) for place, id_ in enumerate(ids)]
    demo.post(rows, gateway).raise_for_status()
    demo.flush()
    return ids


def rename(page: Page, names: dict[str, str]) -> None:
    """Let the node call its sensors so, though it would refuse the longest of these names."""

    def renamed(route: Route) -> None:
        answer = route.fetch()
        told: Any = answer.json()
        for sensor in told.get("sensors", [told]):
            sensor["name"] = names.get(sensor.get("id", ""), sensor.get("name"))
        route.fulfill(response=answer, body=json.dumps(told))

    page.route("**/api/v1/sensors?*", renamed)
    for id_ in names:
        page.route(f"**/api/v1/sensors/{id_}", renamed)


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_a_name_is_text_whatever_it_says(
    demo: NodeProcess, sensors: list[str], visit: Open, size: tuple[int, int]
) -> None:
    width, height = size
    page = visit(demo, viewport={"width": width, "height": height}).page
    rename(page, dict(zip(sensors, NAMES, strict=True)))
    page.reload()
    page.get_by_role("button", name="List of sensors").click()
    for name in NAMES:
        page.get_by_role("searchbox").fill(name)
        page.locator(".sensors tbody button").click()
        expect(page.locator(".panel h2")).to_have_text(name)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.locator(".panel").get_by_role("button", name="Close").click()
    assert page.evaluate("window.hacked") is None


def test_a_node_that_answers_with_errors_is_asked_again(demo: NodeProcess, visit: Open) -> None:
    page = visit(demo).page
    broken: list[Any] = [{"status": 500, "body": "<h1>Internal Server Error</h1>"}]

    def answer(route: Route) -> None:
        """As long as it is broken; taking the route away would meet requests under way."""
        if broken:
            route.fulfill(**broken[0])
        else:
            route.fallback()

    page.route("**/api/**", answer)
    page.reload()
    expect(page.locator(".link")).to_have_text("The node does not answer. Trying again.")
    broken.clear()
    expect(page.locator(".city .index-badge")).not_to_have_text("–")
    expect(page.locator(".link")).to_be_empty()


def test_garbage_over_the_live_connection_changes_nothing(demo: NodeProcess, visit: Open) -> None:
    shown = visit(demo)
    page = shown.page
    heard: list[str | bytes] = []

    def babble(socket: WebSocketRoute) -> None:
        for frame in GARBAGE:
            socket.send(frame)
            heard.append(frame)

    page.route_web_socket("**/ws", babble)
    page.reload()
    shown.wait_until(lambda: len(heard) == len(GARBAGE))
    expect(page.locator(".city .index-badge")).not_to_have_text("–")
    page.get_by_role("button", name="List of sensors").click()
    expect(page.locator(".list tbody tr").first).to_be_visible()


def test_a_full_storage_costs_memory_of_the_last_visit_and_nothing_else(
    demo: NodeProcess, visit: Open
) -> None:
    page = visit(demo, service_workers="allow").page
    page.context.new_cdp_session(page).send(
        "Storage.overrideQuotaForOrigin", {"origin": demo.url, "quotaSize": 1000}
    )
    page.evaluate(
        """() => {
          localStorage.clear();
          for (let size = 1 << 23; size >= 1; size /= 2)
            try { for (let n = 0; ; n++) localStorage.setItem(`${size}-${n}`, 'x'.repeat(size)); }
            catch {}
        }"""
    )
    page.reload()
    page.get_by_label("Language").select_option("de")
    expect(page.get_by_role("button", name="Liste der Messstellen")).to_be_visible()
    expect(page.locator(".city .index-badge")).not_to_have_text("–")
