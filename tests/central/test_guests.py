"""Who may read the centre where not everybody may."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from click.testing import CliRunner
from litestar.types import Receive, Scope, Send
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.processes import START_WITHIN_S, command, free_port, wait_until
from urbanos_edge.access.guests import LOOK_EVERY_S, Guests, Readers
from urbanos_edge.api.gate import guarded
from urbanos_edge.cli import main
from urbanos_edge.errors import SettingsError
from urbanos_edge.settings import Settings

CLOSED = Settings(public_read=False)


def line(name: str, secret: str) -> str:
    return f"{name}  {hashlib.sha256(secret.encode()).hexdigest()}  # since the spring\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "readers"
    path.write_text("# who may read\n\n" + line("map", "of the map") + line("lab", "of the lab"))
    return path


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """What only those see who are let in."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def asking(guests: Guests) -> Callable[[str, str], int]:
    """What one is answered who asks for a path and says this of himself."""
    app = guarded(inside, guests, ())

    async def ask(path: str, authorization: str) -> int:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        said = {"Authorization": authorization} if authorization else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(path, headers=said)).status_code

    return lambda path, authorization: anyio.run(ask, path, authorization)


def test_only_who_is_in_the_file_reads_and_everybody_sees_whether_it_lives(file: Path) -> None:
    ask = asking(Guests(CLOSED, "centre", Readers(file)))
    for secret in ("of the map", "of the lab"):
        assert ask("/api/v1/sensors", f"Bearer {secret}") == 200
        assert ask("/metrics", f"Bearer {secret}") == 200
    for wrong in ("", "Bearer", "Bearer of the cat", "Basic of the map", "Bearer map"):
        assert ask("/api/v1/sensors", wrong) == 401
        assert ask("/tiles/readings/0/0/0.mvt", wrong) == 401
        assert ask("/metrics", wrong) == 401
        assert ask("/health/live", wrong) == 200


def test_a_line_that_goes_opens_nothing_any_more(file: Path) -> None:
    ask = asking(Guests(CLOSED, "centre", Readers(file)))
    file.write_text(line("lab", "of the lab"))
    wait_until(lambda: ask("/api/v1/sensors", "Bearer of the map") == 401, 5)
    assert ask("/api/v1/sensors", "Bearer of the lab") == 200
    file.unlink()
    time.sleep(1.1 * LOOK_EVERY_S)
    assert ask("/api/v1/sensors", "Bearer of the lab") == 200, "it may just be written anew"


@pytest.fixture
def port(file: Path, tmp_path: Path) -> Iterator[int]:
    """Where a centre listens that is for those in the file only, and has no database yet."""
    found = free_port()
    words = [*command(), "central", "serve", "--dsn", "host=127.0.0.1 port=1 dbname=none"]
    words += ["--host", "127.0.0.1", "--port", str(found), "--readers", str(file)]
    with (tmp_path / "centre.log").open("wb") as log:
        environment = os.environ | {"URBANOS_PUBLIC_READ": "false"}
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: _lives(found), START_WITHIN_S, (tmp_path / "centre.log").read_text)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)


def _lives(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_a_line_that_goes_ends_the_news_of_its_reader(file: Path, port: int) -> None:
    url = f"ws://127.0.0.1:{port}/ws"
    with (
        connect(url, additional_headers={"Authorization": "Bearer of the map"}) as gone,
        connect(url, additional_headers={"Authorization": "Bearer of the lab"}) as stays,
    ):
        file.write_text(line("lab", "of the lab"))
        with pytest.raises(ConnectionClosed):
            gone.recv(timeout=20)
        stays.send('{"type":"ping"}')
        assert stays.recv(timeout=20) == '{"type":"pong"}'


@pytest.mark.parametrize("text", ["map", "map xyz", f"a map {'0' * 64}", f"map {'0' * 63}"])
def test_a_file_of_another_kind_is_refused_by_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "readers"
    path.write_text(f"# first\n{text}\n")
    with pytest.raises(SettingsError, match="line 2"):
        Readers(path)


def test_a_centre_that_nobody_could_read_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URBANOS_PUBLIC_READ", "false")
    words = ["central", "serve", "--dsn", "host=127.0.0.1 dbname=none", "--port", str(free_port())]
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, "--readers" in done.stderr) == (1, True)
