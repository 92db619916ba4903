"""What must not be told: which settings are secret, and what a secret looks like in a text.

Logs and bundles go to people who may know how the node is, but not how to get in.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from urbanos_edge.settings import Settings

SECRET: Final = frozenset(
    (
        *("alert_secret", "alert_webhook_url", "alert_mqtt_url", "mqtt_url"),
        *("sync_dsn", "cdn_purge_url", "pull"),
    )
)
"""Settings whose value is a secret, or an address that may hold one."""
HIDDEN: Final = "***"
MIN_LETTERS: Final = 6
"""Of what is looked for as it stands: a shorter one would be found in every other word."""
MIN_QUERY_LETTERS: Final = 12
"""Of a value in an address: shorter ones are names of formats and the like."""
_PATTERNS: Final = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"']+@", re.I), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(Bearer|Basic|Token)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (
        re.compile(
            r"([\"']?\b[\w-]*(?:password|passwd|secret|token|api[_-]?key|signature)[\"']?\s*[=:]\s*[\"']?)"
            r"[^\s&,;\"']+",
            re.I,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"([?&](?:key|p|sig|auth)=)[^\s&\"']+", re.I), rf"\1{HIDDEN}"),
    (re.compile(r"\b(?:uoe_|whsec_)[A-Za-z0-9_+/=-]{8,}"), HIDDEN),
)


class Veil:
    """Takes secrets out of texts: what looks like one, and those that are known."""

    def __init__(self, settings: Settings) -> None:
        known = sorted(_known(settings), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def over(self, text: str) -> str:
        """The text with `***` in the place of each secret."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


def shown(settings: Settings) -> dict[str, Any]:
    """All settings by name; of the secret ones only whether they are set."""
    values = msgspec.to_builtins(settings)
    for name in SECRET:
        values[name] = "(set)" if values[name] else "(not set)"
    return dict(values)


def _known(settings: Settings) -> set[str]:
    """The secret values themselves, and the passwords in them."""
    values = [str(getattr(settings, name)) for name in SECRET - {"pull"}]
    addresses = [*values, *(feed.url for feed in settings.pull)]
    values += [feed.key for feed in settings.pull]
    values += [settings.alert_secret.removeprefix("whsec_")]
    values += [urlsplit(settings.alert_webhook_url).path]
    parts = [text for address in addresses for text in _parts(address)]
    return {text for text in (*values, *parts) if len(text) >= MIN_LETTERS}


def _parts(value: str) -> list[str]:
    """What is secret in an address: its password, and the values of its query."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return []
    asked = [pair.partition("=")[2] for pair in parts.query.split("&")]
    long = [text for text in asked if len(text) >= MIN_QUERY_LETTERS]
    return [parts.password, *long] if parts.password else long
