"""Who looks after a node: logs in, reads how it is, decides what waits, and leaves."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import HURRY, Picture, Visit, reading
from tests.browser.test_accessibility import violations
from tests.processes import NodeProcess, wait_until

Open = Callable[..., Visit]

UNKNOWN = "esp8266-4711"
AIRROHR = {
    "esp8266id": "4711",
    "software_version": "NRZ-2020-133",
    "sensordatavalues": [{"value_type": "SDS_P2", "value": "8.30"}],
}
NO_PLACE_ON_EARTH = {**reading("lost", 60.2, 24.9, 5.0), "location": {"lat": 91, "lng": 0}}
GERMAN = {
    "well": "Dem Knoten geht es gut.",
    "look": "Der Knoten arbeitet; etwas braucht Aufmerksamkeit.",
}
LOOK_MS = 6000
"""Within it the page looks once at how far a backup is."""
MARK = "row => getSelection().selectAllChildren(row)"
UNMARK = "getSelection().removeAllRanges()"
REPORT = {"lat": 60.17, "lng": 24.94, "kind": "smoke", "note": "<b>By the harbour</b>"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node with one sensor that is silent, one that is not, and somebody's business waiting."""
    target = tmp_path_factory.mktemp("backups")
    settings = {"flush_interval_s": 0.5, "node_name": "Town Hall", "backup_target": target}
    process = NodeProcess(tmp_path_factory.mktemp("admin"), settings)
    token = process.token()
    process.post(reading("school-12", 60.17, 24.94, 5.0), token).raise_for_status()
    process.post(reading("silent-1", 60.18, 24.95, 5.0, age_s=7200), token).raise_for_status()
    process.post([NO_PLACE_ON_EARTH], token)
    process.client.post("/data.php", json=AIRROHR, headers={"X-Sensor": UNKNOWN})
    process.client.post("/api/v1/reports", json=REPORT).raise_for_status()
    process.flush()
    yield process
    process.stop()


def log_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def admin(visit: Open, node: NodeProcess, **options: object) -> Page:
    page = visit(node, "/admin", **options).page
    log_in(page, node.token("admin"))
    expect(page.locator("h1")).to_have_text("Administration of Town Hall")
    return page


def section(page: Page, title: str) -> None:
    page.locator("summary", has_text=title).click()


def test_a_token_opens_the_page_and_none_but_an_operators_does(
    visit: Open, node: NodeProcess
) -> None:
    page = visit(node, "/admin").page
    log_in(page, "uoe_nobody")
    expect(page.get_by_role("alert")).to_contain_text("not known here")
    log_in(page, node.token())
    expect(page.locator("body")).to_contain_text("its scope is gateway")
    expect(page.get_by_role("link", name="To the map")).to_have_attribute("href", "/")
    log_in(page, node.token("operator"))
    expect(page.locator("h1")).to_have_text("Administration of Town Hall")
    section(page, "Settings")
    expect(page.locator("body")).to_contain_text("Settings are shown to admins.")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    assert page.evaluate("fetch('/api/v1/inbox').then((answer) => answer.status)") == 401


def test_plain_words_come_first_and_every_task_has_its_button(
    visit: Open, node: NodeProcess, picture: Picture
) -> None:
    page = admin(visit, node)
    health = page.locator(".health li")
    expect(health.first).to_have_class("bad")
    expect(health.first).to_have_text("The node works; something needs a look.")
    expect(page.locator(".health")).to_contain_text("2 sensors, 1 of them silent.")
    expect(page.locator(".health")).to_contain_text("Unknown senders in the inbox: 1.")
    sensors = page.locator("section", has_text="silent ones first").locator("tbody th")
    expect(sensors).to_have_text(["silent-1", "school-12"])
    picture(page, "admin")
    assert violations(page) == []

    smoke = page.locator(".task", has_text="Smoke")
    expect(smoke.locator("q")).to_have_text("<b>By the harbour</b>")
    smoke.get_by_role("button", name="Show to everybody").click()
    expect(smoke).to_have_count(0)
    assert node.client.get("/api/v1/reports").json()["count"] == 1


def test_a_sender_is_claimed_by_a_click_on_the_map(visit: Open, node: NodeProcess) -> None:
    page = admin(visit, node)
    page.locator(".task", has_text=UNKNOWN).get_by_role("button", name="Claim").click()
    page.locator(".fields").get_by_label("Name").first.fill("Harbour")
    expect(page.locator(".admin-map canvas")).to_be_visible()
    page.locator(".admin-map canvas").click(position={"x": 300, "y": 100})
    expect(page.get_by_label("Latitude")).to_have_value(re.compile(r"^60\.\d{6}$"))
    assert violations(page) == []
    page.get_by_role("button", name="Claim it").click()
    expect(page.locator(".notice").first).to_have_text(
        "Harbour is claimed. Readings taken over: 1."
    )
    listed = node.client.get("/api/v1/sensors").json()["sensors"]
    assert "Harbour" in [sensor["name"] for sensor in listed]


def test_a_sensor_at_another_address_is_seen_and_claimed_again(
    visit: Open, node: NodeProcess
) -> None:
    """What it sends is refused, so it is silent; and what was refused is told of."""
    node.client.post("/data.php", json=AIRROHR, headers={"X-Sensor": "esp8266-12"})
    place = ("--lat", "60.19", "--lng", "24.96")
    node.run("inbox", "ignore", "esp8266-12")
    node.run("sensor", "add", "esp8266-12", "--name", "Market", *place)
    known = ("--rule", "address", "--address", "192.0.2.7")
    node.run("inbox", "claim", "esp8266-12", *known)
    refused = node.client.post("/data.php", json=AIRROHR, headers={"X-Sensor": "esp8266-12"})
    assert refused.status_code == 403
    page = admin(visit, node)
    task = page.locator(".task", has_text="esp8266-12 is refused")
    expect(task).to_contain_text("it sends from another address than before. 1 so far")
    expect(task).to_contain_text("127.0.0.1")
    section(page, "Turned away at the door")
    row = page.locator("tr", has_text="'esp8266-12' is known at another address")
    expect(row).to_contain_text("/data.php")
    task.get_by_role("button", name="Claim again").click()
    form = page.locator(".fields").first
    expect(form.locator("input").nth(0)).to_have_value("Market")
    expect(page.get_by_label("Latitude")).to_have_value("60.190000")
    expect(form.locator("select")).to_contain_text("the address it sends from (127.0.0.1)")
    assert violations(page) == []
    page.get_by_role("button", name="Claim it").click()
    expect(task).to_have_count(0)
    taken = node.client.post("/data.php", json=AIRROHR, headers={"X-Sensor": "esp8266-12"})
    assert taken.status_code == 200


def test_a_month_goes_out_as_a_table_of_one_sensor(visit: Open, node: NodeProcess) -> None:
    page = admin(visit, node)
    section(page, "Take readings out")
    today = datetime.now(UTC).date()
    page.get_by_label("First day").fill(str(today - timedelta(days=30)))
    page.get_by_label("Last day").fill(str(today))
    page.get_by_label("Sensor (not required)").fill("school-12")
    assert violations(page) == []
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download").click()
    assert taken.value.suggested_filename.startswith("school-12_")
    rows = list(csv.DictReader(taken.value.path().read_text().splitlines()))
    assert [(row["sensor_id"], row["pm25"]) for row in rows] == [("school-12", "5.0")]


def test_what_cannot_be_undone_has_to_be_typed(visit: Open, node: NodeProcess) -> None:
    page = admin(visit, node)
    page.get_by_role("button", name="Delete all").click()
    go = page.get_by_role("button", name="Delete for good")
    expect(go).to_be_disabled()
    assert violations(page) == []
    page.get_by_role("button", name="Cancel").click()
    assert node.status()["totals"]["dead_letters"] == 1
    page.get_by_role("button", name="Delete all").click()
    page.get_by_label("To go on, type 1").fill("1")
    go.click()
    expect(page.locator(".tasks")).not_to_contain_text("refused")
    assert node.status()["totals"]["dead_letters"] == 0


def test_rules_come_and_go_and_settings_tell_who_set_them(visit: Open, node: NodeProcess) -> None:
    page = admin(visit, node)
    section(page, "Alert rules")
    page.get_by_label("Limit").fill("55")
    page.get_by_role("button", name="Add the rule").click()
    rule = page.locator("tr", has_text="PM2.5 is over 55")
    expect(rule).to_be_visible()
    rule.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove the rule").click()
    expect(rule).to_have_count(0)
    section(page, "Settings")
    row = page.locator("tr", has_text="node_name")
    expect(row).to_contain_text("Town Hall")
    expect(row).to_contain_text("environment")
    secret = page.locator("tr", has_text="alert_secret")
    expect(secret).to_contain_text("(not set)")
    expect(page.locator("tr", has_text="retention_days").first).to_contain_text("default")
    assert violations(page) == []


def test_a_backup_is_made_on_request_and_what_came_of_it_is_told(
    visit: Open, node: NodeProcess
) -> None:
    page = admin(visit, node)
    wait_until(lambda: node.status()["backup"]["last_proven_at"], 60, node.log)
    before = node.status()["backup"]["last_at"]
    section(page, "Backups, centre and disk")
    page.get_by_role("button", name="Make a backup now").click()
    notice = page.locator(".notice").first
    expect(notice).to_contain_text("A backup is being made")
    page.context.set_offline(True)
    page.wait_for_timeout(LOOK_MS)
    page.context.set_offline(False)
    expect(notice).to_contain_text("The backup is made, restored and compared.", timeout=60_000)
    assert node.status()["backup"]["last_at"] > before
    assert violations(page) == []


def test_what_the_node_says_of_itself_is_said_in_the_readers_language(
    visit: Open, node: NodeProcess, picture: Picture
) -> None:
    page = admin(visit, node)
    said = {one["text"] for one in node.status()["summary"]["sentences"]}
    shown = {}
    for tag in ("de", "zh-Hant"):
        page.locator("header select").select_option(tag)
        expect(page.locator("html")).to_have_attribute("lang", tag)
        expect(page.locator(".health li").nth(3)).to_be_visible()
        lines = page.locator(".health li").all_inner_texts()
        assert not said & set(lines) and not [line for line in lines if "{" in line]
        shown[tag] = lines[0]
        picture(page, f"admin-{tag}")
    assert len(set(shown.values())) == len(shown)
    assert shown["de"] == GERMAN[node.status()["summary"]["level"]]


def refuse(node: NodeProcess, token: str, *names: str) -> None:
    """Have messages refused that tell of these sensors."""
    lost = [{**NO_PLACE_ON_EARTH, "sensor_id": name} for name in names]
    node.post(lost, token)


def test_a_table_that_is_read_again_stays_where_its_reader_is(
    visit: Open, node: NodeProcess
) -> None:
    token = node.token()
    refuse(node, token, *(f"lost-{number}" for number in range(30)))
    before = node.status()["totals"]["dead_letters"]
    page = admin(visit, node, scripts=[HURRY])
    section(page, "Refused messages")
    table = page.locator("details", has_text="Refused messages").locator(".wide")
    row = table.locator("tr", has_text='"lost-20"')
    row.get_by_role("button").focus()
    scrolled = table.evaluate("table => table.scrollTop")
    assert scrolled > 0
    refuse(node, token, "first")
    expect(table.locator("tr", has_text='"first"')).to_be_attached()
    expect(row.get_by_role("button")).to_be_focused()
    assert table.evaluate("table => table.scrollTop") == scrolled

    tasks = page.locator(".tasks")
    row.evaluate(MARK)
    refuse(node, token, "second")
    expect(tasks).to_contain_text(f"refused: {before + 2}.")
    expect(table.locator("tr", has_text='"second"')).to_have_count(0)
    row.locator("code").hover()
    page.mouse.down()
    page.evaluate(UNMARK)
    refuse(node, token, "third")
    expect(tasks).to_contain_text(f"refused: {before + 3}.")
    expect(table.locator("tr", has_text='"second"')).to_have_count(0)
    page.mouse.up()
    expect(table.locator("tr", has_text='"third"')).to_be_attached()


def test_who_asks_too_often_keeps_what_is_shown(visit: Open, tmp_path: Path) -> None:
    """Twelve in a minute do for the first round and not for the second."""
    busy = NodeProcess(tmp_path / "busy", {"rate_limit": "12/minute", "node_name": "Town Hall"})
    try:
        page = admin(visit, busy, scripts=[HURRY])
        page.wait_for_event("response", lambda answer: answer.status == 429)
        page.wait_for_timeout(1000)  # for the page to say something, which it does not
        expect(page.locator(".notice").first).to_be_empty()
        expect(page.locator(".health li").first).to_be_visible()
    finally:
        busy.stop()
