"""What the panel says of a sensor: how it went, why its number is what it is, and for whom.

Indexes expected here are those of EPA-454/B-24-002: PM2.5 of 9.0 µg/m³ is 50, 35.4 is 100,
80.0 is 168; PM10 of 54 µg/m³ is 50. A sensor that measures what nobody else does stands far
from all others, so that it is believed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.pages import GREEN, YELLOW, Picture, Visit, reading
from tests.processes import NodeProcess

Open = Callable[..., Visit]

HOUR_S = 3600
PIXELS = """canvas => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const counts = [0, 0, 0];
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] === 255 && data[at] < 60) counts[2]++;
    const isFaint = data[at + 3] > 45 && data[at + 3] < 65;
    if (!isFaint || data[at + 1] < 215 || data[at + 2] > 20) continue;
    if (data[at] < 20) counts[0]++;
    if (data[at] > 235) counts[1]++;
  }
  return counts;
}"""
"""Pixels of a chart: faintly green (good), faintly yellow (moderate), and dark."""
ASSIST_YELLOW = "#ffc905"
"""Moderate in table 3 of EPA-454/B-24-002."""
STEPS_MS = 2500
"""Two hours of the last day pass in it, one per second."""


@pytest.fixture(scope="module")
def operator(demo: NodeProcess) -> httpx.Headers:
    """What an operator sends along."""
    return httpx.Headers({"Authorization": f"Bearer {demo.token('operator')}"})


def test_a_chart_shows_how_the_values_went(
    demo: NodeProcess, gateway: str, visit: Open, picture: Picture
) -> None:
    past = [reading("west-1", 60.30, 24.10, 9.0 + age, age * HOUR_S) for age in range(12)]
    demo.post(past, gateway).raise_for_status()
    demo.flush()
    page = visit(demo, "/?sensor=west-1").page
    chart = page.locator(".chart")
    page.get_by_label("What to show").select_option("pm25")
    expect(chart).to_have_attribute("aria-label", re.compile("PM2.5 at west-1: from 9.0"))
    expect(chart).to_have_attribute("aria-label", re.compile("to 20\u00a0µg/m³, in the end 9.0"))
    expect(chart.locator("canvas")).to_be_visible()
    bands = "Coloured bands: the categories of US AQI for a mean over 24 hours."
    expect(page.locator(".trend")).to_contain_text(f"{bands} What is drawn is averaged otherwise")
    good, moderate, dark = chart.locator("canvas").evaluate(PIXELS)
    assert min(good, moderate) > 1000
    assert dark > 12 * 6, "one reading an hour is a dot of its own, which no line leads to"
    plot = chart.locator(".u-over")
    box = plot.bounding_box()
    assert box is not None
    plot.hover(position={"x": box["width"] - 2, "y": 60})
    expect(page.locator(".point")).to_contain_text("as a mean over 24 hours: Good")
    picture(page, "panel-bands")
    page.get_by_role("button", name="7 d").click()
    expect(page.locator(".trend")).to_contain_text("Means of an hour")
    picture(page, "panel-week")


def test_the_values_can_be_taken_along_as_a_table(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    demo.post(reading("west-2", 60.31, 24.12, 12.3), gateway).raise_for_status()
    demo.flush()
    page = visit(demo, "/?sensor=west-2").page
    with page.expect_download() as started:
        page.get_by_role("button", name="Download these values").click()
    assert started.value.suggested_filename == "west-2-5m.csv"
    text = Path(started.value.path()).read_text(encoding="utf-8")
    [row] = csv.DictReader(io.StringIO(text))
    assert float(row["pm25_avg (µg/m³)"]) == 12.3
    assert int(row["pm25_count"]) == 1


def test_two_sensors_can_be_compared(demo: NodeProcess, gateway: str, visit: Open) -> None:
    pair = [reading(f"pair-{n}", 60.32, 24.14, 9.0 + n) for n in (1, 2)]
    demo.post(pair, gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/?sensor=pair-1")
    other = shown.page.get_by_label("Compare with")
    expect(other.locator("option").nth(1)).to_have_text("pair-2")  # the nearest comes first
    other.select_option("pair-2")
    shown.wait_until(lambda: any("/sensors/pair-2/history" in url for url in shown.requests))


def test_the_page_explains_the_number_down_to_its_arithmetic(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    demo.post(reading("west-3", 60.33, 24.16, 35.4), gateway).raise_for_status()
    demo.flush()
    page = visit(demo, "/?sensor=west-3").page
    page.get_by_text("Why this number?").click()
    why = page.locator(".why")
    expect(why).to_contain_text("PM2.5 35.4 µg/m³")
    expect(why).to_contain_text("Nothing was corrected.")
    expect(why).to_contain_text("not an average")
    expect(why.locator("code")).to_contain_text("(100 - 51) / (35.4 - 9.1)")
    expect(why).to_contain_text("EPA-454/B-24-002")


def test_the_panel_says_what_to_do(demo: NodeProcess, gateway: str, visit: Open) -> None:
    demo.post(reading("far-1", 62.0, 24.0, 80.0), gateway).raise_for_status()
    demo.flush()
    page = visit(demo, "/?sensor=far-1").page
    expect(page.locator(".panel .word")).to_have_text("Unhealthy")
    expect(page.locator(".advice")).to_contain_text("no hard effort outside")


def test_a_link_and_code_for_other_pages_are_there_to_copy(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    demo.post(reading("west-5", 60.35, 24.20, 9.0), gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/?sensor=west-5")
    shown.page.locator(".share summary").click()
    link = shown.page.get_by_label("Link to this sensor").input_value()
    assert link == f"{demo.url}/?sensor=west-5"
    code = shown.page.get_by_label("For a page of your own").input_value()
    address = re.findall('src="([^"]+)"', code)[0].replace("&amp;", "&")
    inside = visit(demo, address.removeprefix(demo.url)).page
    expect(inside.locator(".panel .index-badge")).to_have_text("50")
    expect(inside.locator(".tools")).to_be_hidden()


def test_one_pollutant_can_be_shown_alone_and_in_other_colours(
    demo: NodeProcess, gateway: str, visit: Open, picture: Picture
) -> None:
    both = reading("west-6", 60.36, 24.22, 35.4)
    both["values"]["pm10"] = 54.0
    demo.post(both, gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/#15/60.36/24.22", viewport={"width": 1280, "height": 900})
    page = shown.page
    shown.wait_for_color_in_middle(YELLOW)
    page.get_by_label("Colours that everyone can tell apart").check()
    shown.wait_for_color_in_middle(ASSIST_YELLOW)
    page.get_by_label("Colours that everyone can tell apart").uncheck()
    page.locator(".layer select").select_option("pm10")
    shown.wait_for_color_in_middle(GREEN)
    expect(page.locator(".legend")).to_contain_text("the index of PM10")
    picture(page, "layer-pm10")
    page.get_by_role("button", name="List of sensors").click()
    expect(page.get_by_role("columnheader", name="Overall index")).to_be_visible()


def test_an_alert_appears_without_a_reload_until_it_is_put_away(
    demo: NodeProcess, gateway: str, operator: httpx.Headers, visit: Open
) -> None:
    demo.post(reading("far-2", 63.0, 24.0, 9.0), gateway).raise_for_status()
    rule = {"when": "over", "quantity": "pm25", "threshold": 55, "sensor_id": "far-2"}
    made = demo.client.post("/api/v1/alert-rules", json=rule, headers=operator)
    try:
        shown = visit(demo, "/?sensor=far-2#15/63.0/24.0")
        banner = shown.page.locator(".banner")
        shown.wait_until_subscribed()
        expect(banner).to_be_hidden()
        demo.post(reading("far-2", 63.0, 24.0, 80.0), gateway).raise_for_status()
        expect(banner).to_contain_text("PM2.5 at far-2 over 55 µg/m³ since")
        banner.get_by_role("button", name="Put the alerts away").click()
        expect(banner).to_be_hidden()
    finally:
        demo.client.delete(f"/api/v1/alert-rules/{made.json()['id']}", headers=operator)


def test_what_somebody_reports_is_shown_once_it_has_been_looked_at(
    demo: NodeProcess, operator: httpx.Headers, visit: Open, picture: Picture
) -> None:
    note = "<b>since</b> noon"
    shown = visit(demo, "/#12/60.50/24.50", viewport={"width": 1280, "height": 900})
    page = shown.page
    expect(page.locator("canvas")).to_be_visible()
    page.get_by_label("Reports by people").check()
    page.get_by_role("button", name="Report what you smell or see").click()
    form = page.get_by_role("region", name="Report what you smell or see")
    form.get_by_label("What is it?").select_option("smoke")
    form.get_by_label("Anything else?").fill(note)
    aim = page.locator(".aim").bounding_box()
    form.get_by_role("button", name="Send").click()
    expect(form).to_contain_text("Thank you.")
    picture(page, "report")
    waiting = demo.client.get("/api/v1/reports?state=pending", headers=operator).json()
    [report] = [one for one in waiting["reports"] if one["note"] == note]
    assert abs(report["lat"] - 60.50) < 0.03 and abs(report["lng"] - 24.50) < 0.06
    approved = demo.client.post(f"/api/v1/reports/{report['id']}/approve", headers=operator)
    approved.raise_for_status()
    form.get_by_role("button", name="Close").click()
    assert aim is not None

    def opens() -> bool:
        page.mouse.click(aim["x"], aim["y"])
        return page.locator(".report-card").count() > 0

    shown.wait_until(opens)
    expect(page.locator(".report-card").first).to_contain_text("Smoke")
    expect(page.locator(".report-card").first).to_contain_text(note)
    page.get_by_role("button", name="List of sensors").click()
    line = page.locator(".report-lines li", has_text=note)
    expect(line).to_contain_text(re.compile(r"^Smoke, \d\d:\d\d"))
    page.get_by_label("Reports by people").uncheck()
    expect(line).to_be_hidden()


def test_the_list_says_in_words_what_is_old(demo: NodeProcess, gateway: str, visit: Open) -> None:
    demo.post(reading("west-9", 60.60, 24.10, 9.0, age_s=HOUR_S), gateway).raise_for_status()
    demo.flush()
    page = visit(demo).page
    page.get_by_role("button", name="List of sensors").click()
    page.get_by_label("Find a sensor").fill("west-9")
    expect(page.locator(".list tbody tr")).to_contain_text(re.compile(r"No data since \d"))


def test_the_last_day_can_be_gone_through_hour_by_hour(
    demo: NodeProcess, gateway: str, visit: Open
) -> None:
    past = reading("west-8", 60.38, 24.26, 35.4, age_s=5 * HOUR_S)
    now = reading("west-8", 60.38, 24.26, 9.0)
    demo.post([past, now], gateway).raise_for_status()
    demo.flush()
    shown = visit(demo, "/#15/60.38/24.26", viewport={"width": 1280, "height": 900})
    page = shown.page
    shown.wait_for_color_in_middle(GREEN)
    page.get_by_role("button", name="The last 24 hours").click()
    page.get_by_label("Hour shown").fill("19")  # of 23: the last one is that before the current
    shown.wait_for_color_in_middle(YELLOW)
    expect(page.locator(".topbar")).to_contain_text("The map is not live: mean of the hour")
    page.get_by_role("button", name="Back to now").click()
    shown.wait_for_color_in_middle(GREEN)
    expect(page.locator(".topbar")).not_to_contain_text("not live")


def test_a_pollutant_chosen_while_the_last_day_plays_stays_chosen(
    demo: NodeProcess, visit: Open
) -> None:
    page = visit(demo, viewport={"width": 1280, "height": 900}).page
    page.get_by_role("button", name="The last 24 hours").click()
    page.get_by_role("button", name="Play").click()
    page.locator(".layer select").select_option("pm10")
    expect(page.locator(".replay")).to_be_hidden()
    page.wait_for_timeout(STEPS_MS)
    expect(page.locator(".layer select")).to_have_value("pm10")


def test_the_end_of_the_last_day_takes_nobody_from_where_they_write(
    demo: NodeProcess, visit: Open
) -> None:
    page = visit(demo, viewport={"width": 1280, "height": 900}).page
    opener = page.get_by_role("button", name="The last 24 hours")
    opener.click()
    page.get_by_label("Hour shown").fill("18")
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="List of sensors").click()
    page.keyboard.type("school")
    expect(page.locator(".replay")).to_be_hidden()
    expect(page.get_by_label("Find a sensor")).to_be_focused()
    opener.click()
    page.get_by_role("button", name="Back to now").click()
    expect(opener).to_be_focused()


@pytest.mark.parametrize(
    ("locale", "tag", "title"),
    [
        ("es-ES", "es", "Índice de calidad del aire"),
        ("fi-FI", "fi", "Ilmanlaatuindeksi"),
        ("fr-FR", "fr", "Indice de qualité de l’air"),
        ("zh-TW", "zh-Hant", "空氣品質指標"),
    ],
)
def test_the_page_speaks_the_readers_language(
    demo: NodeProcess, visit: Open, picture: Picture, locale: str, tag: str, title: str
) -> None:
    shown = visit(demo, "/#14.5/60.1716/24.9443", locale=locale)
    page = shown.page
    expect(page.locator("html")).to_have_attribute("lang", tag)
    expect(page.locator(".legend")).to_contain_text(title)
    shown.wait_until(
        lambda: any(shown.pixels_in_middle(color, 180) > 500 for color in (GREEN, YELLOW))
    )
    picture(page, f"language-{tag}")
