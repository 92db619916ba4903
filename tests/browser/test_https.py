"""The box's own authority in a browser: trusted, it opens what needs a secure context."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, expect

from bench.devtools import ARGUMENTS
from tests.browser.conftest import CHROMIUM
from tests.processes import NodeProcess, free_port

CERTUTIL = "/usr/bin/certutil"
NAME = "town-hall.local"
STATE = "[window.isSecureContext, 'serviceWorker' in navigator]"
REGISTER = """async (script) => {
  const options = { type: 'module', scope: '/assets/' };
  return (await navigator.serviceWorker.register(script, options)).scope;
}"""
"""With the one script of the page that runs without a page."""
WORKERS = Path(__file__).parents[2] / "urbanos_edge" / "static" / "assets"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    settings = {"tls_port": free_port(), "node_name": "Town Hall"}
    process = NodeProcess(tmp_path_factory.mktemp("https"), settings)
    yield process
    process.stop()


@pytest.fixture
def start(browser: Browser, tmp_path: Path) -> Iterator[Callable[[], Browser]]:
    """Start browsers that have this test's folder for their home, and know the box's name."""
    started: list[Browser] = []

    def start_one() -> Browser:
        started.append(
            browser.browser_type.launch(
                executable_path=CHROMIUM,
                args=[*ARGUMENTS, f"--host-resolver-rules=MAP {NAME} 127.0.0.1"],
                env={**os.environ, "HOME": str(tmp_path)},
            )
        )
        return started[-1]

    yield start_one
    for one in started:
        one.close()


def trust(home: Path, node: NodeProcess) -> None:
    """What the page tells a person with Chromium on Linux to do."""
    if not Path(CERTUTIL).exists():
        pytest.fail(f"there is no {CERTUTIL}: apt-get install libnss3-tools")
    database, authority = home / ".pki" / "nssdb", home / "urbanos-ca.crt"
    database.mkdir(parents=True)
    authority.write_bytes(node.client.get("/ca.crt").content)
    new = ["-N", "--empty-password"]
    add = ["-A", "-t", "C,,", "-n", "urbanos", "-i", str(authority)]
    for words in (new, add):
        subprocess.run([CERTUTIL, "-d", f"sql:{database}", *words], check=True, timeout=60)


def test_who_trusts_the_box_gets_what_needs_a_secure_context(
    node: NodeProcess, start: Callable[[], Browser], tmp_path: Path
) -> None:
    trust(tmp_path, node)
    port = node.status()["tls"]["port"]
    page = start().new_page()

    page.goto(f"http://{NAME}:{node.port}/trust")
    assert page.evaluate(STATE) == [False, False]
    expect(page.locator(".button")).to_have_css("background-color", "rgb(18, 80, 123)")
    page.get_by_role("link", name="Deutsch").click()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.get_by_role("link", name=f"https://{NAME}:{port}/").click()
    page.wait_for_url(f"https://{NAME}:{port}/**")
    assert page.evaluate(STATE) == [True, True]
    worker = next(WORKERS.glob("maplibre-gl-worker-*.js")).name
    assert page.evaluate(REGISTER, f"/assets/{worker}") == f"https://{NAME}:{port}/assets/"


def test_who_does_not_trust_the_box_is_warned(
    node: NodeProcess, start: Callable[[], Browser]
) -> None:
    port = node.status()["tls"]["port"]
    with pytest.raises(Error, match=re.escape("net::ERR_CERT_AUTHORITY_INVALID")):
        start().new_page().goto(f"https://{NAME}:{port}/")
