"""The page of the API at `/schema`: everything it needs comes from the node itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.http.sending import assert_is_error
from tests.processes import NodeProcess

STARTS_A_REQUEST = re.compile(r"""(?:src|href)=["']([^"']+)|url\(["']?([^"')]+)""")


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("closed"), {"public_read": False})
    yield process
    process.stop()


def named_in(text: str) -> set[str]:
    """The addresses that a page or a style asks for by itself."""
    return {first or second for first, second in STARTS_A_REQUEST.findall(text)}


def test_it_is_a_page_and_the_document_is_where_it_was(server: NodeProcess) -> None:
    page = server.client.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>API</title>" in page.text
    held = {"If-None-Match": page.headers["etag"]}
    assert server.client.get("/schema", headers=held).status_code == 304
    document = server.client.get("/schema/openapi.json")
    assert document.headers["content-type"] == "application/vnd.oai.openapi+json"
    assert document.json()["openapi"].startswith("3.1")


def test_every_operation_says_what_it_does(server: NodeProcess) -> None:
    paths = server.client.get("/schema/openapi.json").json()["paths"]
    told = {
        f"{method} {path}": each for path, all_ in paths.items() for method, each in all_.items()
    }
    assert [name for name, operation in told.items() if not operation.get("description")] == []


def test_all_it_loads_is_the_nodes_own_and_never_changes(server: NodeProcess) -> None:
    waiting, asked = {"/schema"}, set[str]()
    while waiting:
        address = waiting.pop()
        asked.add(address)
        answer = server.client.get(address)
        assert answer.status_code == 200, address
        if address.startswith("/assets/"):
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        is_read = "html" in answer.headers["content-type"] or address.endswith(".css")
        found = named_in(answer.text) if is_read else set()
        waiting |= {each for each in found if each != "/schema/openapi.json"} - asked
    kinds = {address.rpartition(".")[2] for address in asked}
    assert kinds >= {"js", "css", "svg", "woff2"}
    assert all(address.startswith("/assets/") for address in asked - {"/schema"})


def test_no_script_and_no_style_stands_in_the_page_itself(server: NodeProcess) -> None:
    page = server.client.get("/schema")
    policy = dict(
        part.split(" ", 1) for part in page.headers["content-security-policy"].split("; ")
    )
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["default-src"] == "'self'"
    assert not re.findall(r"<script[^>]*>[^<]|<style|\sstyle=|\son\w+=", page.text)


def test_where_reading_is_not_public_it_opens_and_what_it_shows_needs_a_token(
    closed: NodeProcess,
) -> None:
    page = closed.client.get("/schema")
    assert page.status_code == 200
    for asset in re.findall(r"/assets/[\w.-]+", page.text):
        assert closed.client.get(asset).status_code == 200
    assert_is_error(closed.client.get("/schema/openapi.json"), 401)
    bearer = {"Authorization": f"Bearer {closed.token('sync')}"}
    assert httpx.get(f"{closed.url}/schema/openapi.json", headers=bearer).status_code == 200


def test_nothing_else_is_below_it(server: NodeProcess) -> None:
    assert_is_error(server.client.get("/schema/redoc"), 404)
