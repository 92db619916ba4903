"""Whether two versions of the node say the same to the same requests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

VOLATILE: Final = frozenset(("boot", "seq", "now", "started_at", "version", "epoch", "cursor"))
"""Fields that no two nodes have in common."""
ABOUT_ITSELF: Final = ("/api/v1/status", "/health/", "/schema", "/api/v1/audit")
"""Where a node speaks of itself: of these only the fields are compared, not what is in them."""
NOT_ASKED: Final = (
    *("/api/v1/live", "/api/v1/export", "/api/v1/session", "/metrics", "/ws"),
    *("/basemap.pmtiles", "/sensors/", "/ping"),
)
"""Streams, what is large, and what belongs to somebody."""
MAX_LIST: Final = 50
"""Entries of a list whose fields are looked at."""


class Answer(NamedTuple):
    """What a node said, and how long it took."""

    status: int
    media_type: str
    body: bytes
    took_s: float

    @property
    def value(self) -> Any:
        """What its JSON says; None where it is something else."""
        if not self.media_type.startswith("application/json"):
            return None
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None


def is_worth_asking(target: str) -> bool:
    """Whether the answer to a GET can be compared."""
    return target.startswith("/") and not target.startswith(NOT_ASKED)


def difference(target: str, old: Answer, new: Answer) -> str | None:
    """What the newer version says otherwise, in a few words; further fields are no difference."""
    if new.status != old.status:
        return f"answered {new.status}, not {old.status}"
    if new.media_type != old.media_type:
        return f"is {new.media_type}, not {old.media_type}"
    before, after = old.value, new.value
    if before is None or after is None:
        is_page = old.media_type.startswith("text/")
        return None if is_page or old.body == new.body else "holds other bytes"
    if target.startswith(ABOUT_ITSELF):
        lost = sorted(shape(before) - shape(after))
        return f"lacks {lost[0]}" if lost else None
    return next(_differences(before, after, ""), None)


def shape(value: Any, path: str = "") -> set[str]:
    """The fields of a JSON value, as paths; entries of a list count as one."""
    if isinstance(value, dict):
        return {path}.union(*(shape(inner, f"{path}.{name}") for name, inner in value.items()))
    if isinstance(value, list):
        return {path}.union(*(shape(inner, f"{path}[]") for inner in value[:MAX_LIST]))
    return {path}


def percentile(seconds: list[float], share: float) -> float:
    """The value that this share of them does not exceed (nearest rank)."""
    return sorted(seconds)[max(math.ceil(share * len(seconds)) - 1, 0)]


def _differences(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _of_fields(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"has {len(new)} entries{_at(path)}, not {len(old)}"
        for number, (before, after) in enumerate(zip(old, new, strict=False)):
            yield from _differences(before, after, f"{path}[{number}]")
    elif not _are_equal(old, new):
        yield f"says {_short(new)}{_at(path)}, not {_short(old)}"


def _of_fields(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, before in old.items():
        if name in VOLATILE:
            continue
        if name not in new:
            yield f"lacks {path}.{name}"
        else:
            yield from _differences(before, new[name], f"{path}.{name}")


def _are_equal(old: Any, new: Any) -> bool:
    is_number = isinstance(old, float) and isinstance(new, int | float)
    return math.isclose(old, new, rel_tol=1e-9) if is_number else bool(old == new)


def _at(path: str) -> str:
    return f" at {path}" if path else ""


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 40 else f"{text[:39]}…"
