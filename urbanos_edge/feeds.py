"""What the node fetches by itself: a table `[[pull]]` of the settings for each source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from urbanos_edge.archives import MapError
from urbanos_edge.archives.columns import parse_map
from urbanos_edge.errors import SettingsError
from urbanos_edge.names import FieldMapError, parse_field_map

Kind = Literal["airgradient", "purpleair", "sensor-community", "openaq", "json", "csv"]
DEVICES: Final[frozenset[Kind]] = frozenset(("airgradient", "purpleair"))
"""Monitors that are asked themselves; the others publish what they gathered."""
MAPPED: Final[frozenset[Kind]] = frozenset(("json", "csv"))
"""What may have any shape, so that a map says what is in it."""
DEFAULT_INTERVAL_S: Final[Mapping[Kind, float]] = {
    "airgradient": 10.0,
    "purpleair": 60.0,
    "sensor-community": 300.0,
    "openaq": 900.0,
    "json": 300.0,
    "csv": 300.0,
}
MAX_FEEDS: Final = 100
MAX_LOCATIONS: Final = 50
"""Of OpenAQ: each is a request, and a key has 60 a minute."""
_TAKEN: Final = (
    *("airgradient", "purpleair", "sensorcommunity", "openaq", "esp8266", "sta", "anon"),
    *("tasmota", "zigbee2mqtt", "mqtt"),
)
"""What the ids of other sensors begin with."""
_USED_BY: Final[Mapping[str, frozenset[Kind]]] = {
    "bbox": frozenset(("openaq",)),
    "locations": frozenset(("openaq",)),
    "map": MAPPED | {"openaq"},
    "records": frozenset(("json",)),
    "sensor_id": MAPPED,
    "time_format": MAPPED,
}
_Latitude = Annotated[float, Meta(ge=-90, le=90)]
_Longitude = Annotated[float, Meta(ge=-180, le=180)]


def _about(description: str, **limits: Any) -> Meta:
    return Meta(description=description, **limits)


class Feed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source; its `key`, and what its `url` may hold, is shown to nobody."""

    kind: Annotated[Kind, _about(f"what it is: {', '.join(DEFAULT_INTERVAL_S)}")]
    url: Annotated[
        str, _about("where it is; of openaq the API's root", pattern=r"^https?://[^\s/?#]+\S*$")
    ]
    name: Annotated[
        str,
        _about(
            "what it is called, in small letters; the kind if empty. Sensors of json and csv are"
            " called after it",
            pattern=r"^([a-z0-9][a-z0-9-]{0,39})?$",
        ),
    ] = ""
    every_s: Annotated[
        float,
        _about(
            "seconds between two times; unless said 10 (airgradient), 60 (purpleair),"
            " 900 (openaq) or 300",
            ge=10,
            le=86_400,
        ),
    ] = 0
    timeout_s: Annotated[
        float, _about("seconds within which an answer must be whole", gt=0, le=300)
    ] = 20
    key: Annotated[str, _about("the key it asks for; never shown", pattern=r"^[\x20-\x7e]*$")] = ""
    key_header: Annotated[
        str, _about("the header that the key is sent in", pattern=r"^[A-Za-z0-9-]{1,80}$")
    ] = "X-API-Key"
    lat: Annotated[_Latitude | None, _about("where that stands which gives no place")] = None
    lng: Annotated[_Longitude | None, _about("the same")] = None
    bbox: Annotated[str, _about("openaq: the area, minLng,minLat,maxLng,maxLat")] = ""
    locations: Annotated[
        tuple[int, ...], _about("openaq: the numbers of locations", max_length=MAX_LOCATIONS)
    ] = ()
    map: Annotated[str, _about("json, csv, openaq: which field is what, in which unit")] = ""
    records: Annotated[str, _about("json: where the list of records is, as `data.stations`")] = ""
    sensor_id: Annotated[
        str, _about("json, csv: the sensor, where all records are of one", max_length=60)
    ] = ""
    time_format: Annotated[
        str, _about("json, csv: how times are written, as `%d.%m.%Y %H:%M`; ISO 8601 if empty")
    ] = ""
    time_zone: Annotated[str, _about("json, csv: of times that name none")] = "UTC"

    @property
    def label(self) -> str:
        """What it is called in lists, logs and metrics."""
        return self.name or self.kind

    @property
    def interval_s(self) -> float:
        return self.every_s or DEFAULT_INTERVAL_S[self.kind]

    @property
    def is_device(self) -> bool:
        return self.kind in DEVICES

    @property
    def place(self) -> tuple[float, float] | None:
        return None if self.lat is None or self.lng is None else (self.lat, self.lng)

    def __repr__(self) -> str:
        return f"Feed({self.label!r})"  # the rest may be secret


def check_feeds(feeds: Sequence[Feed]) -> None:
    """Refuse what each alone, by its fields, would allow.

    Raises:
        SettingsError: two of one name, a field its kind does not use, a map that cannot be read.
    """
    if len(feeds) > MAX_FEEDS:
        raise SettingsError(f"{len(feeds)} pulls are too many; {MAX_FEEDS} may be given")
    seen: set[str] = set()
    for feed in feeds:
        if feed.label in seen:
            raise SettingsError(f"two pulls are called '{feed.label}'; give each a name")
        seen.add(feed.label)
        problem = _problem(feed)
        if problem:
            raise SettingsError(f"pull '{feed.label}': {problem}")


def parse_bbox(text: str) -> list[float] | None:
    """West, south, east and north in degrees; None when it is no such box."""
    try:
        west, south, east, north = (float(edge) for edge in text.split(","))
    except ValueError:
        return None
    fits = -180 <= west < east <= 180 and -90 <= south < north <= 90
    return [west, south, east, north] if fits else None


def _problem(feed: Feed) -> str | None:
    for name, kinds in _USED_BY.items():
        if getattr(feed, name) and feed.kind not in kinds:
            return f"'{name}' means nothing to kind {feed.kind}"
    if (feed.lat is None) != (feed.lng is None):
        return "a place needs both, lat and lng"
    return _problem_of_openaq(feed) if feed.kind == "openaq" else _problem_of_map(feed)


def _problem_of_openaq(feed: Feed) -> str | None:
    if not feed.key:
        return "openaq needs a key"
    if bool(feed.bbox) == bool(feed.locations):
        return "say where: either bbox or locations"
    if feed.bbox and parse_bbox(feed.bbox) is None:
        return f"bbox '{feed.bbox}' is not minLng,minLat,maxLng,maxLat"
    try:
        parse_field_map(feed.map)
    except FieldMapError as error:
        return f"map: {error.message}"
    return None


def _problem_of_map(feed: Feed) -> str | None:
    if feed.kind in MAPPED and feed.label.split("-")[0] in _TAKEN:
        return f"sensors of others are called '{feed.label.split('-')[0]}-…'; take another name"
    try:
        parse_map(feed.map)
        ZoneInfo(feed.time_zone)
    except MapError as error:
        return f"map: {error.message}"
    except (ZoneInfoNotFoundError, ValueError):
        return f"time_zone '{feed.time_zone}' is unknown"
    if feed.time_format and not _is_format(feed.time_format):
        return f"time_format '{feed.time_format}' cannot be read back"
    return None


def _is_format(text: str) -> bool:
    try:
        datetime.strptime(datetime(2026, 11, 23, tzinfo=UTC).strftime(text), text)
    except ValueError:
        return False
    return True
