"""Requests made from a node's own OpenAPI document, good ones and bad ones, and what is wrong.

Schemathesis makes them and holds the answers against the document. Of its values some are replaced
by those that exist on the node, or nearly all requests would end at an unknown id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, CheckContext, GenerationMode, Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.processes import NodeProcess

AnyCase = Case[Any]
AnyOperation = APIOperation[Any, Any, Any, Any]
LOGIN: Final = "/api/v1/session"
WITHIN_S: Final = 20.0
LIVE: Final = "/api/v1/live"
"""It never ends: only the head of its answers is looked at."""
PASSING: Final = (503, 507)
"""The node may say that it cannot do something now, and until when."""
NEAR: Final = {
    "from": ("2026-11-01T00:00:00Z", "2026-11-24", "0001-01-01", "9999-12-31T23:59:59Z", ""),
    "to": ("2026-11-30T00:00:00Z", "2026-11-25T00:00:00+00:00", "1969-12-31T23:59:59Z"),
    "at": ("2026-11-25T10:00:00Z", "2999-12-31T23:59:59.999999Z", "now"),
    "bbox": ("24,60,25,61", "-180,-90,180,90", "1,2,3", "nan,nan,nan,nan", "1e999,0,0,0"),
    "format": ("csv", "geojson", "parquet", "ndjson", "json", "xml"),
    "columns": ("own", "openaq"),
    "resolution": ("raw", "5m", "1h", "1d", "1y"),
    "quantity": ("pm25", "aqi", "pm25,aqi", "co", "", ","),
    "since": ("0", "x.1.2", "..", "a.99999999999999999999.0"),
    "minLat": (-90, 0, 60.1, 91),
    "maxLat": (-90, 60.2, 90),
    "minLng": (-180, 0, 24.9),
    "maxLng": (180, 25, 0),
    "zoom": (0, 12, 18, 19, -1),
    "gridSize": (0.01, 1e-5, 180, 0),
    "limit": (1, 1000, 0, -1),
    "before": (1, 1 << 62, 1 << 63, 1 << 64, -(1 << 70)),
    "z": (0, 12, 18, 19, 1 << 70),
    "x": (0, 2330, 1 << 70),
    "y": ("1185", "0", "-1"),
    "file": ("0.mvt", "1185.mvt", "9999999.mvt", ".mvt"),
    "number": (1, 2, 1 << 62, 1 << 63, 1 << 64, -1),
    "monitor": ("airgradient:ecda3b1eaaaf", "airgradient:"),
    "entity": ("Datastreams(999)", "Datastreams()"),
}
"""Values that mean something, and some just beyond."""


@dataclass
class Tally:
    """What was sent, and each kind of complaint with the first answer that caused it."""

    requests: int = 0
    operations: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    complaints: dict[str, str] = field(default_factory=dict)

    def complain(self, case: AnyCase, what: str) -> None:
        title = f"{case.operation.label}: {what.splitlines()[0]}"
        self.complaints.setdefault(title, f"{what}\n{case.as_curl_command()}")


def fuzz(
    node: NodeProcess,
    token: str | None,
    per_operation: int,
    number: int,
    known: Mapping[str, Sequence[Any]],
) -> Tally:
    """Send every operation so many requests of each mode; `number` makes them others.

    `known` are values by parameter beside those of `NEAR`.
    """
    document = requests.get(f"{node.url}/schema/openapi.json", timeout=WITHIN_S).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(with_security_parameters=False)  # whose token it is, is said
    tally = Tally()
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with requests.Session() as session:
        session.headers.update(headers)
        for found in schema.get_all_operations():
            operation = _readable(found)
            tally.operations += 1
            for mode in GenerationMode:
                for case in _cases(operation, mode, per_operation, number, known):
                    _send(case, session, node.url, tally)
    return tally


def _readable(found: Any) -> AnyOperation:
    """An operation; raises what is wrong with the document there."""
    operation: AnyOperation = found.ok()
    return operation


def _cases(
    operation: AnyOperation,
    mode: GenerationMode,
    count: int,
    number: int,
    known: Mapping[str, Sequence[Any]],
) -> Iterator[AnyCase]:
    """So many cases of one mode; fewer, or none, where there is nothing to vary."""
    made: list[AnyCase] = []
    values = {
        name: st.one_of(st.none(), st.sampled_from((*NEAR.get(name, ()), *known.get(name, ()))))
        for name in {**NEAR, **known}
    }

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), chosen=st.fixed_dictionaries(values))
    def make(case: AnyCase, chosen: dict[str, Any]) -> None:
        for part in (case.path_parameters, case.query):
            if isinstance(part, dict):
                part.update({name: chosen[name] for name in part if chosen.get(name) is not None})
        if isinstance(case.body, dict):
            case.body.pop("url", None)  # nobody outside is to be told of anything
        made.append(case)

    try:
        make()
    except Unsatisfiable:
        pass
    yield from made


def _send(case: AnyCase, session: requests.Session, url: str, tally: Tally) -> None:
    tally.requests += 1
    is_endless = case.operation.path == LIVE
    try:
        if is_endless:
            _look_at_head(case, session, url, tally)
            return
        answer = case.call(base_url=url, session=session, timeout=WITHIN_S)
    except requests.RequestException as error:
        tally.complain(case, f"no answer: {error!r}")
        return
    tally.statuses[answer.status_code] += 1
    try:
        case.validate_response(answer, checks=CHECKS)
    except BaseExceptionGroup as group:
        for failure in group.exceptions:
            tally.complain(case, f"{failure}\n{answer.text[:300]}")


def _look_at_head(case: AnyCase, session: requests.Session, url: str, tally: Tally) -> None:
    request = case.as_transport_kwargs(base_url=url)
    with session.request(**request, stream=True, timeout=WITHIN_S) as answer:
        tally.statuses[answer.status_code] += 1
        told = case.operation.definition.raw["responses"].get(str(answer.status_code))
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        if told is None or media_type not in told["content"]:
            tally.complain(case, f"undocumented: {answer.status_code} {media_type}")


def no_server_error(_: CheckContext, response: Response, case: AnyCase) -> bool | None:
    """Raises AssertionError where the node failed, or does not say when to come again."""
    if response.status_code < 500:
        return None
    is_passing = response.status_code in PASSING and "retry-after" in response.headers
    assert is_passing, f"server error {response.status_code} at {case.operation.label}"
    return None


def closed_where_told(_: CheckContext, response: Response, case: AnyCase) -> bool | None:
    """Raises AssertionError where the node deals otherwise with a stranger than the document says.

    Whoever logs in has a token in the body.
    """
    if "authorization" in {name.lower() for name in response.request.headers}:
        return None
    told = case.operation.definition.raw.get("security") or []
    asks = bool(told) and {} not in told
    assert not (asks and response.status_code < 300), f"{case.operation.label} is open"
    is_refused = response.status_code == 401 and case.operation.path != LOGIN
    assert told or not is_refused, f"{case.operation.label} is closed"
    return None


CHECKS: Final = [
    no_server_error,
    closed_where_told,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
