"""What the wheel is made of: the list is up to date, and can be looked up in advisories."""

from __future__ import annotations

import re

import pytest

from scripts.advisories import findings
from scripts.bill import BILL, PAGE, Part, bill, page, parts

EVERYTHING = parts()


def test_the_bill_and_the_page_of_licences_are_up_to_date() -> None:
    """After a change of a lock file: python -m scripts.bill."""
    assert BILL.read_text(encoding="utf-8") == bill(EVERYTHING)
    assert PAGE.read_text(encoding="utf-8") == page(EVERYTHING)


def test_everything_the_project_asks_for_is_in_it_and_nothing_of_its_tests() -> None:
    names = {part.name for part in EVERYTHING}
    assert names >= {"duckdb", "litestar", "psycopg-binary", "zeroconf", "maplibre-gl", "idna"}
    assert not names & {"pytest", "mypy", "hatchling", "playwright", "vite", "colorama"}


def test_each_licence_is_an_expression_of_spdx() -> None:
    word = r"[A-Za-z0-9.+-]+"
    for part in EVERYTHING:
        assert re.fullmatch(rf"{word}(?: (?:AND|OR|WITH) {word})*", part.licence), part


@pytest.mark.parametrize(
    ("version", "events", "is_found"),
    [
        ("1.4.9", [{"introduced": "0"}, {"fixed": "1.5.0"}], True),
        ("1.5.0", [{"introduced": "0"}, {"fixed": "1.5.0"}], False),
        ("2.1", [{"introduced": "0"}, {"fixed": "1.5"}, {"introduced": "2"}], True),
        ("1.9", [{"introduced": "0"}, {"fixed": "1.5"}, {"introduced": "2"}], False),
        ("5.6.3", [{"introduced": "0"}, {"last_affected": "5.6.3"}], True),
        ("5.6.4", [{"introduced": "0"}, {"last_affected": "5.6.3"}], False),
        ("1.10", [{"introduced": "1.9"}], True),
    ],
)
def test_a_version_within_a_range_of_an_advisory_is_found(
    version: str, events: list[dict[str, str]], is_found: bool
) -> None:
    """The form is that of OSV; other packages and other ecosystems are passed over."""
    package = {"ecosystem": "PyPI", "name": "Disk_Cache"}
    entry = {
        "id": "GHSA-0000",
        "summary": "bad",
        "affected": [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}],
    }
    found = list(findings([Part("pypi", "disk-cache", version, "MIT")], [entry]))
    assert found == ([f"disk-cache {version}: GHSA-0000 bad"] if is_found else [])
    assert not list(findings([Part("npm", "disk-cache", version, "MIT")], [entry]))
    assert not list(
        findings([Part("pypi", "disk-cache", version, "MIT")], [entry | {"withdrawn": "2026"}])
    )
