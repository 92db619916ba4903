"""What can be set, in one table: defaults < file < environment < flags.

The fields below are the table; `docs/settings.md` is generated from it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from urbanos_edge.aqi import STANDARDS
from urbanos_edge.errors import SettingsError
from urbanos_edge.feeds import Feed, check_feeds
from urbanos_edge.names import FieldMapError, parse_field_map
from urbanos_edge.quality.formulas import (
    PUBLISHED,
    SourceCorrectionsError,
    parse_source_corrections,
)

ENVIRONMENT_PREFIX: Final = "URBANOS_"
DATA_DIR_VARIABLE: Final = "URBANOS_DATA_DIR"
DEFAULT_DATA_DIR: Final = "urbanos-data"
MAX_PORT: Final = 65535
Origin = Literal["file", "environment", "flag"]
"""Who gave a setting another value than its default."""
_NOT_SETTINGS: Final = ("data_dir", "config")
_TEST_PREFIX: Final = "test_"
_RATE: Final = r"^[1-9][0-9]{0,8}/(second|minute|hour)$"
_LISTS: Final = ("trusted_proxies", "allowed_hosts", "cors_origins")
"""Settings that may be given as one text, with commas between."""
_TOPIC_FILTER: Final = re.compile(r"(?=.)(?:(?:\+|[^+#\x00/]*)/)*(?:\+|#|[^+#\x00/]*)")
"""MQTT 5, 4.7: + is a whole level, # the last one."""
_HOST: Final = re.compile(
    r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+"
)
_ORIGIN: Final = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s,]+")
"""RFC 6454, 6.2: a scheme, a host and perhaps a port, and nothing behind them."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set, checked once at the start."""

    host: Annotated[str, Meta(description="address to listen on")] = "0.0.0.0"
    port: Annotated[int, Meta(ge=0, le=65535, description="HTTP port; 0 takes a free one")] = 8080
    tls_port: Annotated[
        int | None,
        Meta(
            description="HTTPS port beside the other; 0 takes a free one, none if not set; see"
            " [operations](operations.md#https)"
        ),
    ] = None
    tls_redirect: Annotated[
        bool, Meta(description="send who asks for a page in the clear to the HTTPS port")
    ] = False
    node_id: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9-]{0,40}$", description="this node's name for machines; made if empty"
        ),
    ] = ""
    node_name: Annotated[str, Meta(max_length=80, description="this node's name for people")] = (
        "UrbanOS Edge"
    )
    flush_interval_s: Annotated[
        float, Meta(gt=0, le=3600, description="seconds between two flushes into the store")
    ] = 10
    batch_size: Annotated[
        int, Meta(ge=1, le=100_000, description="readings that one read of the spool takes")
    ] = 1000
    max_retries: Annotated[
        int,
        Meta(ge=0, le=20, description="times a failing batch is tried again before it is split"),
    ] = 3
    spool_limit: Annotated[
        int, Meta(ge=10_000, description="readings the spool holds; beyond it ingest answers 503")
    ] = 20_000_000
    retention_days: Annotated[
        int, Meta(ge=1, description="days that readings are kept; older partitions are dropped")
    ] = 90
    rollup_retention_days: Annotated[
        int, Meta(ge=1, description="days that hourly aggregates are kept")
    ] = 1825
    recent_memory_mib: Annotated[
        int, Meta(ge=1, description="memory for readings of the last 24 hours, in MiB")
    ] = 160
    compact_duty_percent: Annotated[
        int, Meta(ge=1, le=100, description="percent of the time that compaction may work")
    ] = 20
    disk_reserve_mib: Annotated[
        int, Meta(ge=1, description="free disk, in MiB, below which readings are refused with 507")
    ] = 256
    ballast_mib: Annotated[
        int, Meta(ge=0, description="disk held back, in MiB, to finish with when it is full")
    ] = 64
    max_body_mib: Annotated[
        int, Meta(ge=1, le=1024, description="largest request body, packed or unpacked, in MiB")
    ] = 16
    cache_ttl_grid_s: Annotated[
        float, Meta(ge=0, description="seconds that grid rows and tiles are kept")
    ] = 5
    cache_ttl_aggregated_s: Annotated[
        float, Meta(ge=0, description="seconds that clusters and statistics are kept")
    ] = 10
    cache_ttl_historical_s: Annotated[
        float, Meta(ge=0, description="seconds that history is kept")
    ] = 300
    cdn_purge_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://\S+)?$",
            description="where a CDN is told by POST which grids changed; none if empty",
        ),
    ] = ""
    aqi_standard: Annotated[
        str, Meta(description=f"the index that readings are graded by: {', '.join(STANDARDS)}")
    ] = "us-epa-2024"
    source_corrections: Annotated[
        str,
        Meta(
            description="how values of a source are corrected, where a sensor has no correction of"
            f" its own: source=name,…; names: {', '.join(PUBLISHED)}; see"
            " [corrections](corrections.md)"
        ),
    ] = "purpleair=us-epa-purpleair-2022"
    neighbour_radius_km: Annotated[
        float,
        Meta(ge=0, le=100, description="how far away sensors are compared; 0: with nobody"),
    ] = 10
    time_zone: Annotated[
        str,
        Meta(
            description="what clocks on the pages show, where days begin on charts, and by which"
            " `backup_hour` goes: a name of IANA's, such as Europe/Helsinki; `scripts/install`"
            " writes that of the machine; storage is UTC"
        ),
    ] = "UTC"
    duckdb_memory_mib: Annotated[
        int, Meta(ge=128, description="memory that analytical queries may take, in MiB")
    ] = 512
    scrub_interval_s: Annotated[
        float, Meta(ge=0, description="seconds between two files compared with their checksums")
    ] = 60
    backup_target: Annotated[
        str,
        Meta(description="where daily backups go: a directory or s3://bucket/prefix?endpoint=…"),
    ] = ""
    backup_hour: Annotated[
        int, Meta(ge=0, le=23, description="hour of the day, in `time_zone`, of the daily backup")
    ] = 2
    backup_keep: Annotated[int, Meta(ge=1, description="backups that are kept")] = 7
    alert_webhook_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://\S+)?$",
            description="where alerts are told by POST; a rule may name another; none if empty",
        ),
    ] = ""
    alert_secret: Annotated[
        str,
        Meta(
            pattern=r"^(whsec_([A-Za-z0-9+/]{4}){6,}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)?$",
            description="what webhooks are signed with: whsec_ and 24 or more bytes in base64",
        ),
    ] = ""
    alert_mqtt_url: Annotated[
        str,
        Meta(
            pattern=r"^(mqtts?://\S+)?$",
            description="the broker that alerts are told, mqtts://user:password@host:port;"
            " none if empty",
        ),
    ] = ""
    alert_mqtt_topic: Annotated[
        str,
        Meta(pattern=r"^[^+#\x00]{1,200}$", description="the topic there"),
    ] = "urbanos/alerts"
    mqtt_url: Annotated[
        str,
        Meta(
            pattern=r"^(mqtts?://\S+)?$",
            description="the broker that readings are taken from, mqtts://user:password@host:port;"
            " none if empty; see [sensors](sensors.md#mqtt)",
        ),
    ] = ""
    mqtt_topics: Annotated[
        str, Meta(description="the topics there, with + and #, joined by commas")
    ] = "airgradient/readings/+,tele/+/SENSOR,zigbee2mqtt/+,urbanos/+/readings"
    mqtt_ca_file: Annotated[
        str,
        Meta(
            description="authorities in PEM that brokers are verified by, also that of alerts;"
            " the well-known ones if empty"
        ),
    ] = ""
    sync_dsn: Annotated[
        str, Meta(description="the centre's PostgreSQL, as libpq names it; none if empty: no sync")
    ] = ""
    sync_mode: Annotated[
        Literal["aggregates", "readings"],
        Meta(description='what the centre gets: "aggregates", or the "readings", too'),
    ] = "aggregates"
    sync_max_mib_s: Annotated[
        float,
        Meta(ge=0, description="MiB that the centre is sent in a second at most; 0: no limit"),
    ] = 8
    field_map: Annotated[
        str,
        Meta(
            description="what fields and tags of devices are, where their names do not say it:"
            " quantity=field:unit,sensor_id=tag,…; see [sensors](sensors.md#field-names)"
        ),
    ] = ""
    pull: Annotated[
        tuple[Feed, ...],
        Meta(
            description="what the node fetches by itself, a table `[[pull]]` for each source, or"
            " their list as JSON; see [below](#what-is-fetched)"
        ),
    ] = ()
    report_rate_limit: Annotated[
        str,
        Meta(
            pattern=_RATE,
            description="user reports that one client may send, N/second, N/minute or N/hour",
        ),
    ] = "10/hour"
    report_retention_days: Annotated[
        int, Meta(ge=1, description="days that user reports are kept, by when they say it was")
    ] = 90
    rate_limit: Annotated[
        str,
        Meta(
            pattern=_RATE,
            description="requests to the JSON API that one client may make, N/second, N/minute or"
            " N/hour; see [operations](operations.md#who-may-ask-how-often)",
        ),
    ] = "100/minute"
    tile_rate_limit: Annotated[
        str,
        Meta(pattern=_RATE, description="the same for tiles, pages and all that is no JSON API"),
    ] = "60000/minute"
    ingest_rate_limit: Annotated[
        str,
        Meta(
            pattern=_RATE,
            description="messages with readings that one token may send, or one address without",
        ),
    ] = "600000/minute"
    max_connections: Annotated[
        int,
        Meta(ge=16, description="open connections; a quarter of them may be of one address"),
    ] = 4096
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="addresses or networks of proxies whose `X-Forwarded-…` is believed, joined"
            " by commas"
        ),
    ] = ()
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="names the node is called by besides its own ones and its addresses, joined"
            " by commas; `*.example.org` stands for all below, `*` for any"
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="other sites whose pages may read the API, as `https://example.org`, joined"
            " by commas; `*` for any"
        ),
    ] = ()
    public_read: Annotated[
        bool, Meta(description="whether everybody may read; else a token or a login is needed")
    ] = True
    session_hours: Annotated[
        int, Meta(ge=1, le=720, description="hours after which a login to /admin ends")
    ] = 12
    log_format: Annotated[
        Literal["text", "json"],
        Meta(description='how the log\'s lines are written: "text" for people, or "json"'),
    ] = "text"
    slow_query_ms: Annotated[
        float,
        Meta(
            ge=0, description="milliseconds from which on a query is logged with its plan; 0: none"
        ),
    ] = 100
    announce: Annotated[bool, Meta(description="tell the local network of this node by mDNS")] = (
        True
    )
    discover: Annotated[
        bool,
        Meta(description="find sensors in the local network by mDNS, and ask them for readings"),
    ] = True
    rehearsal: Annotated[
        bool,
        Meta(description="serve a copy of the data: nothing is sent, fetched or announced"),
    ] = False
    demo: Annotated[bool, Meta(description="run a simulated fleet, labelled as such")] = False
    demo_streets: Annotated[
        str, Meta(description="an .osm.pbf file that the demonstration's map is drawn from")
    ] = ""

    @property
    def max_body_bytes(self) -> int:
        return self.max_body_mib << 20

    @property
    def mqtt_filters(self) -> list[str]:
        """The topics of `mqtt_topics`, one by one."""
        return [topic.strip() for topic in self.mqtt_topics.split(",")]

    @property
    def owes_readings(self) -> bool:
        """Whether there is a centre that is to have the readings themselves."""
        return bool(self.sync_dsn) and self.sync_mode == "readings"


def load(
    flags: Mapping[str, Any],
    *,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Build the settings; `flags` that are None count as not given.

    Raises:
        SettingsError: an unknown name, an impossible value, or a file that is not TOML.
    """
    values: dict[str, Any] = {}
    if config is not None:
        values |= _from_file(config)
    values |= _from_environment(environment)
    values |= {name: value for name, value in flags.items() if value is not None}
    if isinstance(values.get("pull"), str):
        values["pull"] = _from_json("pull", values["pull"])
    values |= {name: _from_list(name, values[name]) for name in _LISTS if name in values}
    unknown = sorted(values.keys() - set(Settings.__struct_fields__))
    if unknown:
        raise SettingsError(f"unknown setting '{unknown[0]}'; see docs/settings.md for the names")
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_told(error)) from error
    _check_names(settings)
    return settings


def given(
    flags: Mapping[str, Any],
    *,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Origin]:
    """Where each setting that `load` of the same arguments did not leave as it is came from."""
    origins: dict[str, Origin] = {}
    if config is not None:
        origins |= dict.fromkeys(_from_file(config), "file")
    origins |= dict.fromkeys(_from_environment(environment), "environment")
    return origins | {name: "flag" for name, value in flags.items() if value is not None}


def default_config(data_dir: Path) -> Path | None:
    """The `urbanos.toml` that is read when none is named: in the data directory, if there."""
    path = data_dir / "urbanos.toml"
    return path if path.is_file() else None


def is_address(url: str) -> bool:
    """Whether a URL names a host, and no impossible port."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _from_json(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise SettingsError(f"{name} is no JSON: {error}") from error


def _from_list(name: str, value: Any) -> Any:
    """A list that was given as JSON or as words with commas between, or what it is already."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _from_json(name, value)
    return [word.strip() for word in value.split(",") if word.strip()]


def _told(error: msgspec.ValidationError) -> str:
    """`port: Expected …`, of a message that ends in where it is."""
    what, _, where = str(error).partition(" - at `$.")
    return f"{where.removesuffix('`') or 'setting'}: {what}"


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    names = {
        key.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for key, value in environment.items()
        if key.startswith(ENVIRONMENT_PREFIX)
    }
    return {
        name: value
        for name, value in names.items()
        if name not in _NOT_SETTINGS and not name.startswith(_TEST_PREFIX)
    }


def _check_names(settings: Settings) -> None:
    if settings.tls_port is not None and not 0 <= settings.tls_port <= MAX_PORT:
        raise SettingsError(f"tls_port {settings.tls_port} is no port; 0 to {MAX_PORT} are")
    if settings.tls_redirect and settings.tls_port is None:
        raise SettingsError("tls_redirect needs a tls_port to send readers to")
    if settings.aqi_standard not in STANDARDS:
        known = ", ".join(STANDARDS)
        raise SettingsError(f"aqi_standard '{settings.aqi_standard}' is unknown; known: {known}")
    try:
        ZoneInfo(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SettingsError(f"time_zone '{settings.time_zone}' is unknown") from error
    for name in ("alert_webhook_url", "alert_mqtt_url", "mqtt_url"):
        if getattr(settings, name) and not is_address(getattr(settings, name)):
            raise SettingsError(f"{name} names no host, or an impossible port")
    check_feeds(settings.pull)
    for feed in settings.pull:
        if not is_address(feed.url):
            raise SettingsError(f"pull '{feed.label}': url names no host, or an impossible port")
    if settings.alert_webhook_url and not settings.alert_secret:
        raise SettingsError("alert_webhook_url needs an alert_secret to sign with")
    try:
        parse_source_corrections(settings.source_corrections)
    except SourceCorrectionsError as error:
        raise SettingsError(f"source_corrections: {error.message}") from error
    _check_doors(settings)
    for topic in settings.mqtt_filters:
        if not _TOPIC_FILTER.fullmatch(topic):
            raise SettingsError(f"mqtt_topics: '{topic}' is no topic that can be subscribed to")
    if settings.mqtt_ca_file and not Path(settings.mqtt_ca_file).is_file():
        raise SettingsError(f"mqtt_ca_file: there is no file '{settings.mqtt_ca_file}'")
    try:
        parse_field_map(settings.field_map)
    except FieldMapError as error:
        raise SettingsError(f"field_map: {error.message}") from error


def _check_doors(settings: Settings) -> None:
    for network in settings.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise SettingsError(
                f"trusted_proxies: '{network}' is no address and no network"
            ) from error
    for host in settings.allowed_hosts:
        if not _HOST.fullmatch(host):
            raise SettingsError(f"allowed_hosts: '{host}' is no name; leave scheme and port out")
    for origin in settings.cors_origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingsError(f"cors_origins: '{origin}' is not like https://example.org")
