"""How the node is, in words; the log's request ids; and the bundle for who is to help."""

from __future__ import annotations

import json
import re
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.http.sending import Spot, reading
from tests.processes import NodeProcess
from urbanos_edge.health.summary import Code, summary
from urbanos_edge.uptime import Fault

ENGLISH = Path(__file__).parents[2] / "web" / "src" / "i18n" / "admin" / "en.ts"
PAGE_WORDS = dict(re.findall(r"'node\.(\w+)':\s*'([^']*)'", ENGLISH.read_text(encoding="utf-8")))
"""What the page says for a code of the summary, with its placeholders."""
WEBHOOK = "https://hooks.example/T0/averysecretpath"


def sentences(status: dict[str, Any], level: str) -> list[str]:
    return [one["text"] for one in status["summary"]["sentences"] if one["level"] == level]


def changed(status: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """The status with some of its parts otherwise."""
    merged = {
        name: {**status[name], **part} if isinstance(part, dict) else part
        for name, part in parts.items()
    }
    return status | merged


@pytest.fixture(scope="module")
def status(server: NodeProcess) -> dict[str, Any]:
    return dict(server.status())


def test_a_new_node_says_what_is_left_to_do(status: dict[str, Any]) -> None:
    assert status["summary"]["level"] == "look"
    found = " ".join(sentences(status, "look"))
    assert "No sensor is registered yet" in found
    assert "No backup was ever proven" in found


@pytest.mark.parametrize(
    ("parts", "level", "words"),
    [
        ({"sensors": {"total": 9, "reporting": 0}}, "act", "None of 9 sensors"),
        ({"sensors": {"total": 9, "reporting": 4}}, "look", "4 of 9 sensors"),
        ({"sensors": {"total": 9, "reporting": 9}}, "well", "9 of 9 sensors"),
        ({"disk": {"is_low": True}}, "act", "readings are refused"),
        ({"disk": {"full_in_days": 13.2}}, "look", "full in 13 days"),
        ({"inbox": {"senders": 1}}, "look", "1 unknown sender waits"),
        ({"quarantined": 2}, "look", "2 damaged files were set aside"),
        ({"tls": {"failure": "no room"}}, "look", "HTTPS fails: no room"),
        ({"reports": {"pending": 3}}, "look", "3 reports of users wait"),
        # 30 days are 2,592,000 s, of which 0.05 % are 1,296: 21.6 minutes.
        ({"uptime": {"budget_left_s": 1296.0}}, "well", "22 minutes of being down are left"),
        ({"uptime": {"budget_left_s": -7200.0}}, "look", "broken by 2 hours"),
        ({"uptime": {"availability": 0.999499}}, "well", "99.94 % of the time"),
        ({"uptime": {"availability": 0.9995}}, "well", "99.95 % of the time"),
    ],
)
def test_each_thing_is_told_at_its_level(
    status: dict[str, Any], parts: dict[str, Any], level: str, words: str
) -> None:
    found = summary(changed(status, **parts))
    assert [one.text for one in found.sentences if one.level == level and words in one.text]
    levels = ("well", "look", "act")
    assert found.level == max((one.level for one in found.sentences), key=levels.index)
    for one in found.sentences:
        placeholders = set(re.findall(r"\{(\w+)\}", PAGE_WORDS[one.code]))
        assert placeholders <= one.details.keys(), f"the page cannot say {one.code}"


def test_the_page_has_words_for_every_sentence() -> None:
    assert PAGE_WORDS.keys() == set(get_args(Code))


def test_what_keeps_the_node_from_its_work_comes_first(status: dict[str, Any]) -> None:
    full = Fault("flush_failed", "the last flush failed: no room", "no room")
    found = summary(status, [full])
    assert (found.level, found.sentences[0].code) == ("act", "flush_failed")
    assert found.sentences[0].text == (
        "It cannot do all of its work: the last flush failed: no room."
    )
    assert found.sentences[0].details == {"why": "no room"}


def test_every_answer_of_the_routes_has_an_id_of_its_own(server: NodeProcess) -> None:
    found = {
        server.client.get(path).headers["x-request-id"]
        for path in ("/health/live", "/health/live", "/api/v1/sensors/nobody", "/nowhere")
    }
    assert len(found) == 4
    assert all(re.fullmatch("[0-9a-f]{12}", one) for one in found)


def test_the_bundle_holds_what_a_helper_needs_and_no_secret(
    start_node: Callable[..., NodeProcess], tmp_path: Path, spot: Spot
) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    node = start_node(alert_webhook_url=WEBHOOK, alert_secret=secret, log_format="json")
    token = node.token()
    node.post(reading(spot, "bundled"), token)
    out = tmp_path / "bundle.tar.gz"
    assert node.run("support-bundle", str(out)).stdout.strip() == str(out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with tarfile.open(out) as bundle:
        files = {
            Path(member.name).name: bundle.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in bundle.getmembers()
        }
    assert files.keys() == {
        *("README.txt", "summary.txt", "status.json", "settings.json", "log.ndjson"),
        *("metrics.txt", "machine.txt", "journal.txt", "check.json"),
    }
    assert json.loads(files["settings.json"])["alert_secret"] == "(set)"
    assert json.loads(files["check.json"])["findings"] == []
    assert "urbanos_ready 1.0" in files["metrics.txt"]
    assert "duckdb==" in files["machine.txt"]
    started = [json.loads(line)["message"] for line in files["log.ndjson"].splitlines()]
    assert "serving" in started
    for told in files.values():
        assert not re.search(f"averysecretpath|{secret[6:]}|{token}", told)
    refused = node.run("support-bundle", str(out), check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
