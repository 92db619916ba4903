"""The page without its node: it opens, says how old what it shows is, and goes on by itself."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import GREEN, SEEN_WITHIN_S, STALE_GREY, Picture, Visit, reading
from tests.browser.test_admin import AIRROHR, UNKNOWN, log_in, section
from tests.processes import NodeProcess, wait_until

Open = Callable[..., Visit]

BUILT = Path(__file__).parents[2] / "urbanos_edge" / "static"
PAGES = {"/": "/index.html", "/kiosk": "/kiosk.html", "/admin": "/admin.html"}
PLACE = "/#15/60.1716/24.9443"
CONTROLLED = "navigator.serviceWorker.controller !== null"
KEPT = """async (key) => {
  return (await caches.match(key)) !== undefined;
}"""
IS_ANSWERED = "(how) => fetch('/api/v1/status', how).then(() => true, () => false)"
LATER = "() => { const now = Date.now; Date.now = () => now() + 20 * 60_000; }"


def listener(port: int = 0) -> socket.socket:
    """A socket to hand to a node, so that the next one can have the same port."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.listen(128)
    return made


def start(folder: Path, port: int = 0) -> NodeProcess:
    with listener(port) as given:
        return NodeProcess(folder, {"flush_interval_s": 0.5}, listeners=[given])


def wait_until_kept(shown: Visit, key: str) -> None:
    shown.wait_until(lambda: shown.page.evaluate(KEPT, key))


def test_a_page_outlives_its_node_and_catches_up_when_it_is_back(
    visit: Open, tmp_path: Path, picture: Picture
) -> None:
    node = start(tmp_path / "node")
    node.post(reading("school-12", 60.1716, 24.9443, 5.0), node.token()).raise_for_status()
    node.flush()
    shown = visit(node, PLACE, service_workers="allow")
    page = shown.page
    shown.wait_for_color_in_middle(GREEN)
    shown.wait_until(lambda: page.evaluate(CONTROLLED))
    wait_until_kept(shown, "/api/v1/sensors?limit=10000")
    page.context.clear_cookies()
    page.reload()
    shown.wait_for_color_in_middle(GREEN)
    shown.wait_until(lambda: page.context.cookies())  # the node gave one: it saw the page come
    wait_until_kept(shown, "/tiles/readings/15/18654/9484.mvt")

    node.kill()
    page.reload()
    expect(page.locator(".link")).to_have_text(re.compile(r"^Data from \d\d:\d\d, reconnecting$"))
    shown.wait_for_color_in_middle(GREEN)
    page.add_init_script(f"({LATER})()")
    page.reload()
    shown.wait_for_color_in_middle(STALE_GREY)
    expect(page.locator(".city")).to_contain_text("No current data")
    picture(page, "offline")

    port = node.port
    back = start(tmp_path / "node", port)
    try:
        back.post(reading("market", 60.1716, 24.9443, 60.0), back.token()).raise_for_status()
        expect(page.locator(".link")).to_be_empty()
        page.get_by_role("button", name="List of sensors").click()
        expect(page.locator(".list")).to_contain_text("market")
    finally:
        back.stop()


def test_how_the_node_is_now_is_never_told_from_what_was_kept(browser: Any, tmp_path: Path) -> None:
    """Not by `visit`: where a browser lets requests be watched, its workers see them altered."""
    node = start(tmp_path / "node")
    page = browser.new_context().new_page()
    try:
        page.goto(node.url)
        wait_until(lambda: page.evaluate(CONTROLLED), SEEN_WITHIN_S)
        wait_until(lambda: page.evaluate(KEPT, "/api/v1/status"), SEEN_WITHIN_S)
    finally:
        node.kill()
    assert page.evaluate(IS_ANSWERED, {})
    assert not page.evaluate(IS_ANSWERED, {"cache": "no-store"})
    page.context.close()


def test_a_login_is_still_there_when_the_node_is_back(visit: Open, tmp_path: Path) -> None:
    node = start(tmp_path / "node")
    token, port = node.token("operator"), node.port
    page = visit(node, "/admin").page
    page.get_by_label("Token").fill(token)
    node.kill()
    notice = page.locator(".login .notice")
    expect(notice).to_have_text("The node does not answer.")
    expect(page.get_by_label("Token")).to_have_value(token)
    back = start(tmp_path / "node", port)
    try:
        expect(notice).to_be_empty()
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("h1")).to_contain_text("Administration of")
    finally:
        back.stop()


class _Quiet(SimpleHTTPRequestHandler):
    """Files as they are, the pages at their addresses, and nothing of a node.

    Nothing is kept: by Last-Modified two versions of one second are the same.
    """

    def send_head(self) -> Any:
        self.path = PAGES.get(self.path, self.path)
        return super().send_head()

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


class _Before(_Quiet):
    """The same before a node, which answers what is no file: a new version, and the node stays."""

    def __init__(self, *args: Any, node: NodeProcess, **more: Any) -> None:
        self._node = node
        super().__init__(*args, **more)

    def do_GET(self) -> None:
        if (BUILT / PAGES.get(self.path, self.path).lstrip("/")).is_file():
            super().do_GET()
        else:
            self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        names = ("Cookie", "Content-Type")
        headers = {name: self.headers[name] for name in names if name in self.headers}
        headers["Origin"] = self._node.url  # it is asked by its own name, too
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        address = self._node.url + self.path
        given = httpx.request(self.command, address, headers=headers, content=body)
        self.send_response(given.status_code)
        for name in ("Content-Type", "Set-Cookie"):
            if name in given.headers:
                self.send_header(name, given.headers[name])
        self.send_header("Content-Length", str(len(given.content)))
        self.end_headers()
        with suppress(BrokenPipeError):  # who asked has gone on
            self.wfile.write(given.content)


@contextmanager
def served(folder: Path, handler: Callable[..., _Quiet]) -> Iterator[str]:
    """The address where a copy of the built pages is answered from this folder."""
    shutil.copytree(BUILT, folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with the built pages, and where a server without a node answers with it."""
    folder = tmp_path / "site"
    with served(folder, _Quiet) as address:
        yield folder, address


def integrity(body: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(body).digest()).decode()


def publish(folder: Path, page: str, mark: str, is_whole: bool = True) -> None:
    """Put another version there; where it is not whole, one file is not what its list says."""
    file, worker = folder / page, folder / "sw.js"
    before = file.read_bytes()
    after = before.replace(b"<body", b'<body data-mark="%s"' % mark.encode())
    listed = worker.read_text()
    version = re.sub(r'"version":"\w+"', f'"version":"{mark}"', listed, count=1)
    file.write_bytes(after)
    worker.write_text(version.replace(integrity(before), integrity(after if is_whole else b"")))


def mark_of(page: Page) -> str | None:
    return page.locator("body").get_attribute("data-mark")


LOOK_OFTEN = """navigator.serviceWorker.getRegistration().then((registration) => {
  const looks = setInterval(() => registration.update().catch(() => null), 200);
  registration.addEventListener('updatefound', () => clearInterval(looks));
})"""
"""As the page does every hour: what is published while it looks, the next look finds."""
LOOK_IN_VAIN = """navigator.serviceWorker.getRegistration().then(
  (registration) => new Promise((resolve) => {
    registration.addEventListener('updatefound', () => {
      const found = registration.installing;
      found.addEventListener('statechange', () => found.state === 'redundant' && resolve(null));
    });
    registration.update().catch(() => null);
  }),
)"""
"""Until what was found has been given up."""


def wait_until_renewed(page: Page, mark: str) -> None:
    """Chromium now and then takes an old worker for busy, for five minutes; here it is ended."""
    renewed = page.locator(f"body[data-mark={mark}]")
    workers = page.context.new_cdp_session(page)
    workers.send("ServiceWorker.enable")
    for _ in range(5):
        with suppress(AssertionError):
            return expect(renewed).to_be_attached(timeout=4000)
        workers.send("ServiceWorker.stopAllWorkers")
    expect(renewed).to_be_attached()


def test_a_kiosk_takes_a_new_version_when_it_is_whole_and_never_half_of_one(
    browser: Any, site: tuple[Path, str]
) -> None:
    folder, address = site
    page = browser.new_context().new_page()
    page.goto(f"{address}/kiosk")
    page.wait_for_function(CONTROLLED)

    publish(folder, "kiosk.html", "broken", is_whole=False)
    page.evaluate(LOOK_IN_VAIN)
    page.reload()
    assert mark_of(page) is None

    shutil.copy(BUILT / "kiosk.html", folder / "kiosk.html")
    shutil.copy(BUILT / "sw.js", folder / "sw.js")
    publish(folder, "kiosk.html", "whole")
    page.evaluate(LOOK_OFTEN)
    wait_until_renewed(page, "whole")
    page.context.close()


LOOK_AWAY = """() => {
  window.looks = 0;
  const get = () => { window.looks++; return true; };
  Object.defineProperty(document, 'hidden', { configurable: true, get });
}"""
"""Nobody looks at the page any more; how often it asks whether that is so is counted."""
WAITS = "navigator.serviceWorker.getRegistration().then(({ waiting }) => waiting !== null)"


def expect_to_stay(page: Page) -> None:
    """The new version is there, nobody looks, and the page is as it was."""
    page.evaluate(LOOK_AWAY)
    page.wait_for_function("window.looks > 2")
    assert mark_of(page) is None


def test_a_new_version_waits_for_what_is_shown_once_and_for_half_filled_forms(
    browser: Any, tmp_path: Path
) -> None:
    node = start(tmp_path / "node")
    node.client.post("/data.php", json=AIRROHR, headers={"X-Sensor": UNKNOWN})
    folder = tmp_path / "site"
    page = browser.new_context(locale="en-GB").new_page()
    try:
        with served(folder, partial(_Before, node=node)) as address:
            page.goto(f"{address}/admin")
            log_in(page, node.token("operator"))
            page.wait_for_function(CONTROLLED)
            page.get_by_role("button", name="Claim").click()
            page.get_by_label("Latitude").fill("60.17")
            page.get_by_label("Longitude").fill("24.94")
            page.get_by_label("Recognise it by").select_option("token")
            page.get_by_role("button", name="Claim it").click()
            expect(page.locator(".notice").first).to_contain_text("is claimed")
            expect(page.locator(".secret code")).to_be_visible()

            publish(folder, "admin.html", "new")
            page.evaluate(LOOK_OFTEN)
            page.wait_for_function(WAITS)
            expect_to_stay(page)
            section(page, "Alert rules")
            page.get_by_label("Limit").fill("55")
            page.get_by_role("button", name="Cancel").click()
            expect_to_stay(page)
            page.get_by_label("Limit").fill("")
            wait_until_renewed(page, "new")
    finally:
        page.context.close()
        node.stop()
