"""A real node, a real browser, and pages that fail a test when they break or leave the node."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bench.devtools import ARGUMENTS
from tests.browser.pages import SEEN_WITHIN_S, Picture, Visit
from tests.conftest import DATA
from tests.processes import NodeProcess, wait_until

CHROMIUM = os.environ.get("URBANOS_TEST_CHROMIUM", "/usr/bin/chromium")
STREETS = (
    Path(__file__).parents[2] / ".cache" / "Helsinki.osm.pbf",
    DATA / "basemap" / "sf-downtown.osm.pbf",
)
"""Those of the demonstration where it has been set up, else any real ones."""
FLUSH_INTERVAL_S = 0.5

expect.set_options(timeout=SEEN_WITHIN_S * 1000)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, drawing by software."""
    if not Path(CHROMIUM).exists():
        pytest.fail(
            f"no browser at {CHROMIUM}: apt-get install chromium, or set URBANOS_TEST_CHROMIUM"
        )
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A demonstration with its whole fleet reporting; with streets where there are any."""
    settings: dict[str, object] = {"demo": True, "flush_interval_s": FLUSH_INTERVAL_S}
    if streets := next((file for file in STREETS if file.exists()), None):
        settings["demo_streets"] = streets
    process = NodeProcess(tmp_path_factory.mktemp("demo"), settings)
    wait_until(lambda: process.status()["sensors"]["reporting"], 60, process.log)
    yield process
    process.client.close()
    process.stop()


@pytest.fixture(scope="package")
def gateway(demo: NodeProcess) -> str:
    """A token that may write the readings of any sensor."""
    return demo.token()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Open pages of a node; none may throw, break the Content-Security-Policy or leave the node."""
    visits: list[Visit] = []

    def open_page(node: NodeProcess, address: str = "/", **options: object) -> Visit:
        visits.append(Visit(browser, node.url, address, options))
        return visits[-1]

    yield open_page
    complaints = [complaint for each in visits for complaint in each.close()]
    assert not complaints


@pytest.fixture(scope="session")
def picture() -> Picture:
    """Pictures are wanted in the folder named by URBANOS_TEST_SCREENSHOTS, if there is one."""
    folder = os.environ.get("URBANOS_TEST_SCREENSHOTS")

    def take(page: Page, name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png")

    return take
