"""The node a replay writes to, over HTTP, through its restarts and its refusals."""

from __future__ import annotations

import gzip
import ipaddress
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import httpx
import msgspec

from urbanos_edge.errors import EdgeError

_RETRIED: Final = {408, 425, 429, 500, 502, 503, 504, 507}
"""Answers that can become another one when asked again."""
_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
_BACKOFF_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0)


class NodeGone(EdgeError):
    """The node gave no useful answer for as long as we wait."""

    status = 503
    code = "node_gone"


class NodeRefused(EdgeError):
    """The node will not take this, however often it is sent."""

    code = "node_refused"


class Stopped(Exception):
    """The user stopped the replay while it waited for the node."""


class Refusal(msgspec.Struct, frozen=True):
    """One reading the node did not take; `index` counts from 0 within the request."""

    index: int
    code: str
    message: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What became of a request; `accepted` includes the `duplicates`, and not what was `held`.

    `beyond` counts what is older than the retention, if the node tells.
    """

    rejected: list[Refusal]
    accepted: int = 0
    duplicates: int = 0
    held: int = 0
    beyond: int = 0


class NodeCounts(msgspec.Struct, frozen=True):
    """The node's own counts: readings since ever, waiting in its spool, rows in its store.

    `node_id` is lost with the data directory, and so tells an emptied node from the same one.
    """

    node_id: str
    stored: int
    duplicates: int
    revisions: int
    waiting: int
    rows: int


class Door(Protocol):
    """A node that takes readings.

    `name` tells it from others. `is_exact` says that an answer comes once its readings are stored,
    and counts what was known of them exactly.
    """

    name: str
    is_exact: bool

    def send(self, body: bytes) -> Answer:
        """Hand over a JSON array of readings and return what became of each."""

    def counts(self) -> NodeCounts | None:
        """Return the node's counts; None when it does not tell them."""


class Node:
    """A running node, over HTTP.

    Whatever may pass is tried again until the node has been silent for `patience_s`; `say` tells
    the user about it, once per trouble. Setting `stop` ends every wait.
    """

    is_exact = False

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience_s: float,
        say: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        local = is_loopback(url)
        self.name = self.url = url
        self._patience_s = patience_s
        self._say = say
        self._stop = stop
        self._packed = not local
        self._client = httpx.Client(
            base_url=url,
            headers={"authorization": f"Bearer {token}", "user-agent": "urbanos-edge replay"},
            timeout=_TIMEOUT,
            trust_env=not local,  # no proxy stands between us and ourselves
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, body: bytes) -> Answer:
        """Send a JSON array of readings and return what became of each.

        Raises:
            NodeGone: no answer within the patience.
            NodeRefused: the request as a whole is not taken.
            Stopped: the user stopped the replay.
        """
        headers = {"content-type": "application/json"}
        if self._packed:
            body = gzip.compress(body, compresslevel=1)
            headers["content-encoding"] = "gzip"
        response = self._persist(
            lambda: self._client.post("/api/v1/data/ingest", content=body, headers=headers)
        )
        return self._read_answer(response)

    def counts(self) -> NodeCounts | None:
        """Return the node's counts; None when it does not tell them.

        Raises:
            NodeGone, Stopped: as `send`.
        """
        response = self._persist(lambda: self._client.get("/api/v1/status"))
        try:
            return read_counts(msgspec.json.decode(response.content))
        except msgspec.DecodeError:
            return None

    def _persist(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        give_up_at = time.monotonic() + self._patience_s
        told = ""
        for attempt in range(1 << 30):
            pause_s = _BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)]
            try:
                response = ask()
            except httpx.TransportError as error:
                trouble = f"the node at {self.url} does not answer ({error})"
            else:
                if response.status_code not in _RETRIED:
                    if told:
                        self._say("The node answers again.")
                    return response
                trouble = f"the node answers {_explain(response)}"
                pause_s = _retry_after_s(response, pause_s)
            left_s = give_up_at - time.monotonic()
            if left_s <= 0:
                raise NodeGone(f"gave up after {_span(self._patience_s)}: {trouble}")
            if trouble != told:
                self._say(f"Waiting up to {_span(self._patience_s)}: {trouble}.")
                told = trouble
            if self._stop.wait(min(pause_s, left_s)):
                raise Stopped
        raise AssertionError("unreachable")

    def _read_answer(self, response: httpx.Response) -> Answer:
        try:
            if response.status_code in (202, 422):
                return msgspec.json.decode(response.content, type=Answer)
        except msgspec.DecodeError:
            pass
        raise NodeRefused(_advice(response, self.url))


def read_counts(status: Any) -> NodeCounts:
    """The counts in a status.

    Raises:
        msgspec.ValidationError: it is no node's status.
    """
    told = msgspec.convert(status, _Status)
    totals = told.totals
    return NodeCounts(
        node_id=told.node.id,
        stored=totals.stored,
        duplicates=totals.duplicates,
        revisions=totals.revisions,
        waiting=told.spool.readings,
        rows=told.store.rows,
    )


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class _Name(msgspec.Struct):
    id: str


class _Totals(msgspec.Struct):
    stored: int
    duplicates: int
    revisions: int


class _Spool(msgspec.Struct):
    readings: int


class _Store(msgspec.Struct):
    rows: int


class _Status(msgspec.Struct):
    node: _Name
    totals: _Totals
    spool: _Spool
    store: _Store


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Refused(msgspec.Struct):
    error: _Error


def _explain(response: httpx.Response) -> str:
    """Return `503 (busy: try later)` or what else the node says of itself."""
    try:
        message = msgspec.json.decode(response.content, type=_Refused).error.message
    except msgspec.DecodeError:
        message = response.reason_phrase
    return f"{response.status_code} ({message})"


def _advice(response: httpx.Response, url: str) -> str:
    what = _explain(response)
    match response.status_code:
        case 401 | 403:
            return (
                f"the node refuses the token, {what}; create one with "
                "'urbanos-edge token create --scope gateway' and pass it with --token"
            )
        case 404 | 405:
            return f"there is no node of ours at {url}, {what}; correct --to"
        case 413:
            return f"the batch is too large for the node, {what}; use a smaller --batch"
        case _:
            return f"the node at {url} refuses the batch: {what}"


def _retry_after_s(response: httpx.Response, otherwise_s: float) -> float:
    """Read `Retry-After` in seconds; our node sends no dates."""
    try:
        return max(float(response.headers["retry-after"]), 0.05)
    except (KeyError, ValueError):
        return otherwise_s


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes > 1 else f"{seconds:g} s"
