"""The page of the API at the centre, which has no other page."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.processes import LIFTED, START_WITHIN_S, command, free_port, wait_until

PUBLIC, CLOSED = "true", "false"


@pytest.fixture(scope="module", params=[PUBLIC, CLOSED])
def centre(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, httpx.Client]]:
    """A centre for everybody or for few, whose database does not answer; pages need none."""
    folder = tmp_path_factory.mktemp("centre")
    (folder / "readers").write_text("")
    port = free_port()
    words = [*command(), "central", "serve", "--dsn", "host=127.0.0.1 port=1 dbname=none"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--readers", str(folder / "readers")]
    variables = {f"URBANOS_{name.upper()}": value for name, value in LIFTED.items()}
    environment = os.environ | variables | {"URBANOS_PUBLIC_READ": request.param}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}")
    wait_until(lambda: _lives(client), START_WITHIN_S, (folder / "log").read_text)
    yield request.param, client
    client.close()
    process.terminate()
    process.wait(timeout=30)


def _lives(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_the_centre_has_the_page_with_all_that_it_loads(centre: tuple[str, httpx.Client]) -> None:
    _, client = centre
    page = client.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    named = re.findall(r"/assets/[\w.-]+", page.text)
    (style,) = [client.get(path).text for path in named if path.endswith(".css")]
    fonts = re.findall(r"/assets/[\w.-]+\.woff2", style)
    assert fonts
    for path in (*named, *fonts):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_what_the_page_shows_is_for_those_who_may_read(centre: tuple[str, httpx.Client]) -> None:
    public_read, client = centre
    document = client.get("/schema/openapi.json")
    if public_read == CLOSED:
        assert document.status_code == 401
        return
    told = document.json()
    assert told["info"]["title"] == "UrbanOS Edge, the centre"
    assert "/api/v1/sensors" in told["paths"]
    assert not [path for path in told["paths"] if path.startswith("/assets")]


def test_the_nodes_pages_are_not_the_centres(centre: tuple[str, httpx.Client]) -> None:
    public_read, client = centre
    for path in ("/index.html", "/sw.js", "/assets/none.js", "/schema/redoc"):
        refused = client.get(path).status_code
        assert refused == (404 if public_read == PUBLIC else 401), path
