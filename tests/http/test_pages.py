"""The built pages: how long browsers may keep what, and what a page of admins may know."""

from __future__ import annotations

import re

from tests.http.sending import assert_is_error
from tests.processes import NodeProcess


def of_the_shell(node: NodeProcess) -> list[str]:
    """The addresses that the service worker keeps."""
    listed = r'\["(/[^"]*)","sha256-[^"]{44}"\]'
    return re.findall(listed, node.client.get("/sw.js").text)


def test_what_changes_under_its_name_is_asked_for_again_and_all_else_never(
    server: NodeProcess,
) -> None:
    worker = server.client.get("/sw.js")
    assert worker.headers["content-type"].startswith("text/javascript")
    listed = of_the_shell(server)
    assert {"/", "/kiosk", "/admin"} <= set(listed)
    for address in ("/sw.js", "/", "/kiosk", "/admin"):
        kept = server.client.get(address).headers["cache-control"]
        assert kept.split(", ")[-1] == "no-cache"  # private, where a visit begins
    assets = [path for path in listed if path.startswith("/assets/")]
    assert len(assets) > 5
    for address in assets:
        kept = server.client.get(address).headers["cache-control"]
        assert kept == "public, max-age=31536000, immutable"


def test_all_that_is_text_travels_packed_and_says_the_same(server: NodeProcess) -> None:
    texts = [path for path in of_the_shell(server) if not path.endswith(".woff2")]
    assert len(texts) > 10
    for address in ("/sw.js", "/schema", "/licences.txt", *texts):
        plain, packed = (
            server.client.get(address, headers={"Accept-Encoding": coding})
            for coding in ("identity", "gzip")
        )
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content


def test_no_page_may_show_the_administration_in_a_frame_and_any_the_map(
    server: NodeProcess,
) -> None:
    def framed_by(address: str) -> list[str]:
        policy = server.client.get(address).headers["content-security-policy"]
        parts = (part.split() for part in policy.split("; "))
        return next((sources for name, *sources in parts if name == "frame-ancestors"), ["*"])

    assert framed_by("/admin") == framed_by("/admin.html") == ["'none'"]
    assert framed_by("/") == framed_by("/?embed=1") == framed_by("/kiosk") == ["*"]


def test_admins_see_every_setting_and_who_set_it_but_no_secret(server: NodeProcess) -> None:
    def asked(scope: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {server.token(scope)}"}

    assert_is_error(server.client.get("/api/v1/settings"), 401)
    assert_is_error(server.client.get("/api/v1/settings", headers=asked("operator")), 403)
    answer = server.client.get("/api/v1/settings", headers=asked("admin")).json()
    settings = {one["name"]: one for one in answer["settings"]}
    assert settings["port"] == {
        "name": "port",
        "value": server.port,
        "source": "flag",
        "is_secret": False,
    }
    assert settings["announce"]["source"] == "environment"
    assert settings["retention_days"]["source"] == "default"
    assert settings["alert_secret"]["is_secret"]
    assert settings["alert_secret"]["value"] == "(not set)"
