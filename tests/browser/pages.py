"""What a person does with the page and sees on it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    FloatRect,
    Locator,
    Page,
    Request,
    Route,
    WebSocket,
)

from tests.processes import wait_until

SEEN_WITHIN_S = 20.0
Picture = Callable[[Page, str], None]
"""Keeps what a page shows under a name, where pictures are wanted."""

GREEN = "#00e400"
YELLOW = "#ffff00"
RED = "#ff0000"
"""Good, moderate and unhealthy in EPA-454/B-24-002."""
STALE_GREY = "#dfe2e4"

_COUNT_PIXELS = """async ([png, color]) => {
  const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const wanted = [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
  let count = 0;
  for (let at = 0; at < data.length; at += 4)
    if (wanted.every((channel, place) => Math.abs(data[at + place] - channel) <= 2)) count++;
  return count;
}"""


HURRY: Final = "const wait = setInterval; window.setInterval = (act, ms) => wait(act, ms / 10);"
"""What the page does every ten seconds it does every second then."""


class Visit:
    """One reader with a browser of their own on the page, and what went wrong meanwhile."""

    def __init__(
        self, browser: Browser, url: str, address: str, options: Mapping[str, Any]
    ) -> None:
        settings = {
            "locale": "en-GB",
            "viewport": {"width": 1280, "height": 800},
            "service_workers": "block",  # what it answers, nobody here would see
            **{name: value for name, value in options.items() if name != "scripts"},
        }
        self._context = browser.new_context(**settings)
        self._url = url
        self._complaints: list[str] = []
        self.requests: list[str] = []
        self.subscribed: set[str] = set()
        self._context.route("**/*", self._pass_own)
        self.page: Page = self._context.new_page()
        for script in options.get("scripts", ()):
            self.page.add_init_script(script)
        self.page.on("pageerror", lambda error: self._complaints.append(str(error)))
        self.page.on("console", self._listen)
        self.page.on("websocket", self._follow)
        self.page.goto(url + address)

    def close(self) -> list[str]:
        """Leave, and say what went wrong."""
        self._context.close()
        return self._complaints

    def wait_until_subscribed(self) -> None:
        """From now on the page hears of what changes in its view."""
        self.wait_until(lambda: bool(self.subscribed))

    def wait_until(self, is_true: Any) -> None:
        def check() -> bool:
            self.page.wait_for_timeout(50)  # lets events in, and the page draw
            return bool(is_true())

        wait_until(check, SEEN_WITHIN_S, lambda: self.page.locator("body").inner_text())

    def pixels_in_middle(self, color: str, reach_px: float = 40) -> int:
        """How many pixels of the map's middle have this colour."""
        x, y = self.middle()
        side = 2 * reach_px
        png = self.page.screenshot(
            clip={"x": x - reach_px, "y": y - reach_px, "width": side, "height": side}
        )
        counted: int = self.page.evaluate(
            _COUNT_PIXELS, [base64.b64encode(png).decode("ascii"), color]
        )
        return counted

    def middle(self) -> tuple[float, float]:
        """The point where the map shows the place its address names."""
        size = self.page.viewport_size
        assert size is not None
        return size["width"] / 2, size["height"] / 2

    def wait_for_color_in_middle(self, color: str) -> None:
        self.wait_until(lambda: self.pixels_in_middle(color) > 100)

    def click_middle(self) -> None:
        self.page.mouse.click(*self.middle())

    def _pass_own(self, route: Route, request: Request) -> None:
        self.requests.append(request.url)
        if request.url.startswith(self._url):
            route.continue_()
        else:
            self._complaints.append(f"asked another host: {request.url}")
            route.abort()

    def _listen(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self._complaints.append(message.text)

    def _follow(self, socket: WebSocket) -> None:
        self.requests.append(socket.url)
        if socket.url.split("//")[1].split("/")[0] != self._url.split("//")[1]:
            self._complaints.append(f"asked another host: {socket.url}")
        socket.on("framesent", self._note_subscription)

    def _note_subscription(self, frame: str | bytes) -> None:
        said = json.loads(frame)
        if said["type"] == "subscribe-grid":
            self.subscribed |= set(said["gridIds"])
        elif said["type"] == "unsubscribe-grid":
            self.subscribed -= set(said["gridIds"])


def box_at_rest(shown: Locator) -> FloatRect | None:
    """Where something lies once it has stopped moving."""
    shown.evaluate("e => Promise.all(e.getAnimations().map(a => a.finished)).then(() => null)")
    return shown.bounding_box()


def reading(
    sensor_id: str, lat: float, lng: float, pm25_ugm3: float, age_s: float = 0
) -> dict[str, Any]:
    """A reading as a gateway posts it."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    return {
        "sensor_id": sensor_id,
        "location": {"lat": lat, "lng": lng},
        "timestamp": at.isoformat(),
        "values": {"pm25": pm25_ugm3, "temperature": 4.5},
    }
