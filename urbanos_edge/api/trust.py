"""How to trust the box: its authority's certificate, and a page that says what to do with it.

Both are answered in the clear, too: who does not trust the box yet has no other way. The page needs
no script, and is there in the languages of `trust_words/`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.types import ControllerRouterHandler

from urbanos_edge.api.pages import PAGE_HEADERS, secure_address
from urbanos_edge.errors import NotFound
from urbanos_edge.node import Node

CERTIFICATE: Final = "application/x-x509-ca-cert"
"""What makes a phone offer to install it."""
_FOLDER: Final = files("urbanos_edge.api") / "trust_words"
_USUAL: Final = "en"
"""For who reads none of them."""
LANGUAGES: Final = sorted(
    (file.name.removesuffix(".json") for file in _FOLDER.iterdir()),
    key=lambda tag: (tag != _USUAL, tag),
)
"""BCP 47 tags: a language is a file of words."""
_HEADERS: Final = {"Cache-Control": "no-store"}
_TRADITIONAL: Final = {"hant", "tw", "hk", "mo"}
"""Subtags of Chinese that is written so."""


class System(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do on one kind of device."""

    name: str
    steps: list[str]


class Systems(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Kinds of devices, in the order of the page."""

    windows: System
    macos: System
    ios: System
    android: System
    linux: System
    chromium: System
    firefox: System


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The page in one language; a text that is missing stops the start.

    What stands between backticks is code; `{names in braces}` are filled in.
    """

    language: str
    title: str
    about: str
    compare: str
    compare_what: str
    fingerprint: str
    download: str
    download_do: str
    install: str
    systems: Systems
    use: str
    open: str


def words_by_language() -> dict[str, Words]:
    """The page's words by BCP 47 tag."""
    return {
        tag: msgspec.json.decode((_FOLDER / f"{tag}.json").read_bytes(), type=Words)
        for tag in LANGUAGES
    }


def routes(node: Node) -> list[ControllerRouterHandler]:
    page, style = Template(_text("trust.html")), _text("trust.css")
    known = words_by_language()
    headers = _HEADERS | PAGE_HEADERS | {"Vary": "Accept-Language"}
    headers["Content-Security-Policy"] = _allowing(style)

    @get("/ca.crt", sync_to_thread=True, include_in_schema=False)
    def certificate() -> Response[bytes]:
        """The authority's certificate, in PEM."""
        return Response(node.tls.authority().public_pem, headers=_HEADERS, media_type=CERTIFICATE)

    @get("/trust", sync_to_thread=True, include_in_schema=False)
    def trust(request: Request[Any, Any, Any], lang: str = "") -> Response[bytes]:
        """What to do, for each kind of device, and what to compare before."""
        standing = node.tls.standing()
        if standing.port is None:
            raise NotFound("HTTPS is not switched on; the setting is tls_port")
        tag = lang if lang in known else preferred(request.headers.get("accept-language", ""))
        told = {
            "box": node.settings.node_name,
            "authority": standing.authority,
            "until": standing.authority_expires_at[:10],
            "names": ", ".join(standing.names),
        }
        address = escape(f"{secure_address(request, standing.port)}/")
        filled = {name: escape(text) for name, text in told.items()}
        filled["address"] = f'<a href="{address}">{address}</a>'
        text = page.substitute(
            _written(known[tag], filled),
            language=tag,
            languages=_switch(known, tag),
            style=style,
            words=escape(standing.words),
            sha256=escape(standing.sha256.replace(":", " ")),
        )
        return Response(text.encode(), headers=headers, media_type="text/html")

    return [certificate, trust]


def preferred(accept: str) -> str:
    """The language that an `Accept-Language` likes best of those there are (RFC 9110, 12.5.4)."""
    liked: list[tuple[float, str]] = []
    for part in accept.split(","):
        tag, _, weight = part.partition(";")
        try:
            liked.append((float(weight.strip().removeprefix("q=") or 1), tag.strip().lower()))
        except ValueError:
            continue
    for liking, tag in sorted(liked, key=lambda one: -one[0]):
        if liking > 0 and (found := _offered(tag)):
            return found
    return _USUAL


def _offered(tag: str) -> str | None:
    language, *subtags = tag.split("-")
    if language == "zh":
        return "zh-Hant" if _TRADITIONAL & set(subtags) else None
    return language if language in LANGUAGES else None


def _written(words: Words, filled: Mapping[str, str]) -> dict[str, str]:
    """The texts as HTML, by their names in the template."""
    texts = msgspec.structs.asdict(words)
    systems: Systems = texts.pop("systems")
    written = {name: _html(text, filled) for name, text in texts.items()}
    parts = [_section(system, filled) for system in msgspec.structs.astuple(systems)]
    return written | {"systems": "\n".join(parts)}


def _section(system: System, filled: Mapping[str, str]) -> str:
    steps = "".join(f"<li>{_html(step, filled)}</li>" for step in system.steps)
    return f"<details><summary>{_html(system.name, filled)}</summary><ol>{steps}</ol></details>"


def _html(text: str, filled: Mapping[str, str]) -> str:
    coded = re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\{(\w+)\}", lambda found: filled[found[1]], coded)


def _switch(known: Mapping[str, Words], chosen: str) -> str:
    """Links to the page in other languages, each called as its speakers call it."""
    return " ".join(
        f'<strong lang="{tag}">{words.language}</strong>'
        if tag == chosen
        else f'<a href="?lang={tag}" lang="{tag}" hreflang="{tag}">{words.language}</a>'
        for tag, words in known.items()
    )


def _allowing(style: str) -> str:
    """The policy of our pages, with this one style in the page itself."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = PAGE_HEADERS["Content-Security-Policy"]
    return policy.replace("style-src 'self'", f"style-src 'sha256-{digest}'")


def _text(name: str) -> str:
    return (files("urbanos_edge.api") / name).read_text(encoding="utf-8")
