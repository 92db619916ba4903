"""When a node does worse than before, and when it does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from urbanos_edge.control import Reader
from urbanos_edge.deploy.lookout import JUDGED, TOO_MANY, Baseline, Lookout, Probe


class Answers:
    """What a server says: it can be told to be wrong, or slow."""

    body = b'{"sensors":[{"id":"s","aqi":3}]}'
    status = 200
    delay_s = 0.0
    metrics = b""


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def lookout(answers: Answers) -> Iterator[Lookout]:
    """Looks at a server that took a millisecond before."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_metrics = self.path == "/metrics"
            time.sleep(0 if is_metrics else answers.delay_s)
            self.send_response(200 if is_metrics else answers.status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answers.metrics if is_metrics else answers.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        fields = frozenset(("", ".sensors", ".sensors[]", ".sensors[].id", ".sensors[].aqi"))
        url = f"http://127.0.0.1:{server.server_port}"
        with closing(
            Lookout(Baseline(Reader(url, None, None), 0.001, [Probe("/api/v1/sensors", fields)]))
        ) as made:
            yield made
        server.shutdown()


def look(lookout: Lookout, times: int) -> list[str | None]:
    return [lookout.look() for _ in range(times)]


def test_a_node_that_does_well_is_left_alone(lookout: Lookout, answers: Answers) -> None:
    answers.body = b'{"sensors":[{"id":"t","aqi":9,"more":1}],"count":1}'
    assert look(lookout, 2 * JUDGED) == [None] * 2 * JUDGED


def be_empty(answers: Answers) -> None:
    answers.body = b'{"sensors":[]}'


def be_wrong(answers: Answers) -> None:
    answers.status = 500


def be_slow(answers: Answers) -> None:
    answers.delay_s = 0.6


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (be_empty, "lacked .sensors[]"),
        (be_wrong, "answered with 500"),
        (be_slow, "/api/v1/sensors took"),
    ],
)
def test_it_is_unwell_once_it_has_failed_often_enough(
    lookout: Lookout, answers: Answers, fault: Callable[[Answers], None], words: str
) -> None:
    look(lookout, 3)
    fault(answers)
    assert look(lookout, TOO_MANY - 1) == [None] * (TOO_MANY - 1)
    found = lookout.look()
    assert found is not None and words in found


def test_failures_long_ago_are_forgotten(lookout: Lookout, answers: Answers) -> None:
    be_wrong(answers)
    look(lookout, TOO_MANY - 1)
    answers.status = 200
    assert look(lookout, JUDGED) == [None] * JUDGED
    answers.status = 500
    assert look(lookout, TOO_MANY - 1) == [None] * (TOO_MANY - 1)


def test_a_limit_that_the_lookout_itself_meets_is_no_fault(
    lookout: Lookout, answers: Answers
) -> None:
    answers.status = 429
    assert look(lookout, JUDGED) == [None] * JUDGED


def test_what_the_node_counts_of_others_is_looked_at(lookout: Lookout, answers: Answers) -> None:
    line = 'http_requests_total{method="POST",route="/api/v1/data/ingest",status_code="%s"} %s\n'
    answers.metrics = (line % (202, 400.0) + line % (503, 19.0)).encode()
    assert lookout.look() is None
    answers.metrics = (line % (202, 400.0) + line % (500, 30.0)).encode()
    assert lookout.look() == "30 of 430 requests were answered with 5xx"
