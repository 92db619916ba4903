"""A developer of a town's web site reads the API: finds an operation, and a link to send on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.pages import Picture, Visit, reading
from tests.browser.test_accessibility import violations
from tests.processes import NodeProcess

Open = Callable[..., Visit]

PHONE = {"width": 390, "height": 844}
WIDTH = "document.documentElement.scrollWidth"
OPEN_ALL = "document.querySelectorAll('main details').forEach((part) => (part.open = true))"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("api"), {"flush_interval_s": 0.5})
    sent = reading("school-12", 60.171, 24.941, 12.3)
    process.post(sent, process.token()).raise_for_status()
    process.flush()
    yield process
    process.stop()


def operation(page: Page, name: str) -> Locator:
    return page.locator(f"details[id='{name}']")


def test_every_operation_is_listed_and_one_tells_all_that_is_known_of_it(
    visit: Open, node: NodeProcess, picture: Picture
) -> None:
    shown = visit(node, "/schema")
    page, complaints = shown.page, []
    page.on("console", lambda message: complaints.append(message.text))
    paths = node.client.get("/schema/openapi.json").json()["paths"]
    expect(page.locator("details.operation")).to_have_count(sum(map(len, paths.values())))
    history = operation(page, "get-api-v1-sensors-sensor_id-history")
    history.locator("summary").first.click()
    expect(history).to_contain_text("resolution string or null")
    expect(history).to_contain_text("raw, 5m, 1h or 1d")
    expect(history).to_contain_text("200 as asked")
    expect(history).to_contain_text("Refusals: 400, 401, 404, 421, 422, 429, 431, 503")
    history.locator("summary", has_text="Buckets").click()
    expect(history.locator(".fields", has_text="resolution string").last).to_be_visible()
    assert page.url.endswith("/schema#get-api-v1-sensors-sensor_id-history")
    picture(page, "api")
    assert not complaints
    assert all(asked.startswith(node.url) for asked in shown.requests)


def test_an_example_can_be_sent_as_it_is(visit: Open, node: NodeProcess) -> None:
    page = visit(node, "/schema#get-api-v1-sensors-sensor_id-history").page
    link = operation(page, "get-api-v1-sensors-sensor_id-history").get_by_text(
        "See what is answered"
    )
    answer = node.client.get(link.get_attribute("href") or "")
    assert answer.status_code == 200
    assert answer.json()["sensor_id"] == "school-12"
    ingest = operation(page, "post-api-v1-data-ingest")
    ingest.locator("summary").first.click()
    ingest.locator(".content summary", has_text="Example").first.click()
    body = ingest.locator(".content pre").first.inner_text()
    headers = {"Authorization": f"Bearer {node.token()}", "Content-Type": "application/json"}
    taken = node.client.post("/api/v1/data/ingest", content=body, headers=headers)
    assert (taken.status_code, taken.json()["accepted"]) == (202, 1), taken.text


def test_what_is_sought_is_found_by_the_keyboard_alone(visit: Open, node: NodeProcess) -> None:
    page = visit(node, "/schema").page
    expect(page.locator("main section").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("minlat get")
    expect(page.get_by_role("status")).to_have_text(f"2 of {count(page)} operations")
    expect(page.locator("main h2:visible")).to_have_text(["grids"])
    operation(page, "get-api-v1-clusters").locator("summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("gridSize number", exact=False)).to_be_visible()


def count(page: Page) -> int:
    return page.locator("details.operation").count()


def test_a_link_opens_what_it_names(visit: Open, node: NodeProcess) -> None:
    page = visit(node, "/schema#delete-api-v1-dead-letters").page
    letters = operation(page, "delete-api-v1-dead-letters")
    expect(letters).to_have_attribute("open", "")
    expect(letters).to_be_in_viewport()
    expect(letters.locator("summary").first).to_be_focused()
    expect(letters).to_contain_text("Needs a token of scope operator, or an admin’s, or a login.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_keeps_nobody_out_and_fits_a_phone(
    visit: Open, node: NodeProcess, scheme: str, picture: Picture
) -> None:
    page = visit(node, "/schema", color_scheme=scheme, viewport=PHONE).page
    expect(page.locator("details.operation").first).to_be_visible()
    picture(page, f"api-phone-{scheme}")
    assert violations(page) == []
    page.evaluate(OPEN_ALL)
    expect(page.locator(".fields").last).to_be_visible()
    assert page.evaluate(WIDTH) == PHONE["width"]
    assert violations(page) == []


def test_where_reading_is_not_public_it_asks_for_a_token(
    visit: Open, tmp_path_factory: pytest.TempPathFactory
) -> None:
    closed = NodeProcess(tmp_path_factory.mktemp("closed"), {"public_read": False})
    try:
        page = visit(closed, "/schema").page
        expect(page.get_by_role("alert")).to_have_text("Reading is not public here.")
        assert violations(page) == []
        for token, told in (("uoe_nobody", "not known here"), (closed.token(), "ingest")):
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Read").click()
            expect(page.locator("main")).to_contain_text(told)
    finally:
        closed.stop()
