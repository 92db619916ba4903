"""What alerts are raised for: rules, checked once when they come in."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from urbanos_edge.errors import BadRequest, Unprocessable
from urbanos_edge.grid import Bounds, Tile, parse_grid_id
from urbanos_edge.reading import QUANTITY_NAMES
from urbanos_edge.settings import is_address

INDEX: Final = "aqi"
"""The quantity that stands for a reading's own index."""
WATCHED: Final = (*QUANTITY_NAMES, INDEX)
MAX_SPAN_S: Final = 7 * 86_400
SHORTEST_SILENCE_S: Final = 60
When = Literal["over", "under", "silent", "stuck"]
Seconds = Annotated[int, Meta(ge=0, le=MAX_SPAN_S)]
Corners = Annotated[tuple[float, ...], Meta(min_length=4, max_length=4)]
"""`minLng, minLat, maxLng, maxLat`; a tuple of fixed length would have no valid OpenAPI schema."""
_BELONGS: Final = {
    "over": {"quantity", "threshold", "margin", "clear_for_s"},
    "under": {"quantity", "threshold", "margin", "clear_for_s"},
    "silent": frozenset[str](),
    "stuck": {"clear_for_s"},
}
"""Beside `for_s`, what each kind of rule may say."""


class WantedRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule as somebody asks for it.

    It is about every sensor, about one, or about those within a grid or a box (`minLng, minLat,
    maxLng, maxLat` in degrees). `threshold` and `margin` are in the quantity's own unit.
    """

    when: When
    quantity: str | None = None
    threshold: float | None = None
    margin: Annotated[float, Meta(ge=0)] = 0.0
    for_s: Seconds = 0
    clear_for_s: Seconds = 0
    sensor_id: Annotated[str, Meta(min_length=1, max_length=120)] | None = None
    grid_id: str | None = None
    bbox: Corners | None = None
    name: Annotated[str, Meta(max_length=120)] = ""
    url: Annotated[str, Meta(max_length=2000, pattern=r"^https?://\S+$")] | None = None

    @property
    def area(self) -> Tile | Bounds | None:
        if self.grid_id is not None:
            return parse_grid_id(self.grid_id)
        return None if self.bbox is None else Bounds(*self.bbox)

    @property
    def title(self) -> str:
        """Its name, or what it says."""
        if self.name:
            return self.name
        if self.threshold is None:
            return f"{self.when} sensor"
        return f"{self.quantity} {self.when} {self.threshold:g}"


class Rule(WantedRule, frozen=True, kw_only=True):
    """A rule that is kept."""

    id: int
    created_at_us: int


def read_rule(asked: bytes | dict[str, Any]) -> WantedRule:
    """Read a rule from JSON, or from what was JSON.

    Raises:
        BadRequest: it is not JSON.
        Unprocessable: it is no rule, or one that can never be met.
    """
    try:
        if isinstance(asked, bytes):
            asked = msgspec.json.decode(asked)
        rule = msgspec.convert(asked, WantedRule)
    except msgspec.ValidationError as error:
        raise Unprocessable(f"the rule cannot be read: {error}", code="invalid_rule") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the rule is not JSON: {error}") from error
    _check(rule)
    return rule


def _check(rule: WantedRule) -> None:
    complaint = _misplaced(rule) or _missing(rule) or _impossible_area(rule)
    if rule.url is not None and not is_address(rule.url):
        complaint = "'url' names no host, or an impossible port"
    if complaint:
        raise Unprocessable(complaint, code="invalid_rule")


def _misplaced(rule: WantedRule) -> str | None:
    """What is said that means nothing for this kind of rule."""
    for name in ("quantity", "threshold", "margin", "clear_for_s"):
        if getattr(rule, name) and name not in _BELONGS[rule.when]:
            return f"'{name}' means nothing for a rule of kind '{rule.when}'; leave it out"
    return None


def _missing(rule: WantedRule) -> str | None:
    if rule.when == "silent" and rule.for_s < SHORTEST_SILENCE_S:
        return f"say in 'for_s' after how many seconds of silence, {SHORTEST_SILENCE_S} or more"
    if rule.when in ("silent", "stuck"):
        return None
    if rule.quantity not in WATCHED:
        return f"'quantity' must be one of {', '.join(WATCHED)}"
    if rule.threshold is None:
        return "'threshold' is missing: the number to be over or under"
    if not (math.isfinite(rule.threshold) and math.isfinite(rule.margin)):
        return "'threshold' and 'margin' must be finite numbers"
    return None


def _impossible_area(rule: WantedRule) -> str | None:
    named = [one for one in (rule.sensor_id, rule.grid_id, rule.bbox) if one is not None]
    if len(named) > 1:
        return "name one of 'sensor_id', 'grid_id' and 'bbox', or none of them for every sensor"
    if rule.grid_id is not None:
        parse_grid_id(rule.grid_id)
    if rule.bbox is not None:
        west, south, east, north = rule.bbox
        if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
            return "'bbox' must be minLng, minLat, maxLng, maxLat in degrees, in this order"
    return None
