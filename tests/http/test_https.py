"""HTTPS of a running node: real clients, a certificate that changes under them, and the page."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

import httpx
import pytest
from msgspec.structs import astuple
from websockets.sync.client import connect

from tests.http.sending import INGEST, Spot, reading, send
from tests.processes import NodeProcess, free_port, wait_until
from urbanos_edge.api.trust import LANGUAGES, preferred, words_by_language

I18N = Path(__file__).parents[2] / "web" / "src" / "i18n" / "index.ts"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    settings: dict[str, object] = {"tls_port": free_port(), "tls_redirect": True}
    settings |= {"flush_interval_s": 0.5, "allowed_hosts": "*"}
    process = NodeProcess(tmp_path_factory.mktemp("https"), settings)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def gateway(node: NodeProcess) -> str:
    return node.token()


@pytest.fixture(scope="module")
def port(node: NodeProcess) -> int:
    found: int = node.status()["tls"]["port"]
    return found


@pytest.fixture(scope="module")
def trust(node: NodeProcess) -> ssl.SSLContext:
    """A client's trust in the certificate that the node hands out, and in nothing else."""
    answer = node.client.get("/ca.crt")
    assert answer.headers["content-type"] == "application/x-x509-ca-cert"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=answer.text)
    return context


@pytest.fixture
def client(port: int, trust: ssl.SSLContext) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"https://localhost:{port}", verify=trust, timeout=30) as made:
        yield made


def test_the_same_answers_come_over_tls(client: httpx.Client, node: NodeProcess) -> None:
    assert client.get("/health/ready").json()["status"] == "ready"
    tilejson = client.get("/tiles/readings.json").json()
    assert tilejson["tiles"] == [f"{client.base_url}/tiles/readings/{{z}}/{{x}}/{{y}}.mvt"]
    for path in ("/api/v1/grids/z12-x2330-y1185", "/tiles/readings/0/0/0.mvt"):
        twice = [client.get(path).content for _ in range(2)]
        assert twice == [node.client.get(path).content] * 2


def test_readings_are_taken_over_tls_and_in_the_clear(
    client: httpx.Client, node: NodeProcess, gateway: str, spot: Spot
) -> None:
    headers = {"Authorization": f"Bearer {gateway}"}
    for door in (client, node.client):
        assert door.post(INGEST, json=reading(spot), headers=headers).status_code == 202


def test_a_large_body_comes_whole_over_tls(client: httpx.Client, gateway: str, spot: Spot) -> None:
    many = [reading(spot, f"many-{number}") for number in range(5000)]
    headers = {"Authorization": f"Bearer {gateway}"}
    assert client.post(INGEST, json=many, headers=headers).json()["accepted"] == 5000


def test_who_trusts_others_is_not_served(port: int) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://localhost:{port}/health/live", verify=ssl.create_default_context())


def test_old_tls_is_refused(port: int) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.deprecated_call():
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", port)) as link:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(link)


def test_live_updates_come_over_tls(
    node: NodeProcess, gateway: str, spot: Spot, port: int, trust: ssl.SSLContext
) -> None:
    with connect(f"wss://localhost:{port}/ws", ssl=trust, max_size=None) as socket_:
        socket_.send(json.dumps({"type": "subscribe-grid", "gridId": spot.grid_id}))
        socket_.send('{"type":"ping"}')
        assert json.loads(socket_.recv(10))["type"] == "pong"
        send(node, gateway, reading(spot, "over-tls"))
        update = json.loads(socket_.recv(10))
    assert (update["type"], update["gridId"]) == ("grid-update", spot.grid_id)


@pytest.mark.parametrize("host", ["box.local:8080", "192.168.7.7", "[fd00::7]:8080"])
def test_pages_asked_for_in_the_clear_are_asked_for_over_tls(
    node: NodeProcess, port: int, host: str
) -> None:
    name = host.removesuffix(":8080")
    for path in ("/", "/?lat=60.1&lng=24.9", "/kiosk"):
        answer = node.client.get(path, headers={"Host": host})
        assert answer.status_code == 307
        assert answer.headers["location"] == f"https://{name}:{port}{path}"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/health/ready", "/api/v1/status", "/trust", "/ca.crt"])
def test_what_is_no_page_of_the_map_stays_in_the_clear(node: NodeProcess, path: str) -> None:
    assert node.client.get(path, headers={"Host": "box.local"}).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
def test_the_box_itself_is_sent_nowhere(node: NodeProcess, host: str) -> None:
    assert node.client.get("/", headers={"Host": host}).status_code == 200


def test_the_page_shows_what_the_box_shows_its_operator(node: NodeProcess, port: int) -> None:
    standing = json.loads(node.run("tls", "status", "--json").stdout)
    page = node.client.get("/trust").text
    assert standing["words"] in page
    assert standing["sha256"].replace(":", " ") in page
    assert f"https://127.0.0.1:{port}/" in page
    assert "$" not in re.sub(r"sql:\$HOME", "", page)
    told = node.run("tls", "status").stdout
    assert standing["words"] in told
    assert standing["sha256"] in told


def test_the_page_is_there_in_every_language_of_the_map(node: NodeProcess) -> None:
    english = words_by_language()["en"]
    for tag, words in words_by_language().items():
        page = node.client.get("/trust", headers={"Accept-Language": f"{tag},en;q=0.5"}).text
        assert f'<html lang="{tag}">' in page
        assert escape(words.download_do) in page
        assert page == node.client.get("/trust", params={"lang": tag}).text
        assert not re.search(r"[`{]|\}", page.partition("</style>")[2])
        for name in ("about", "compare_what", "open"):
            assert tag == "en" or getattr(words, name) != getattr(english, name)
        for system, in_english in zip(
            astuple(words.systems), astuple(english.systems), strict=True
        ):
            assert len(system.steps) == len(in_english.steps)
    spoken = re.findall(r"^  '?([\w-]+)'?: \{ name:", I18N.read_text(encoding="utf-8"), re.M)
    assert set(spoken) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("accept", "tag"),
    [
        ("", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("sv, fi;q=0.3, fr;q=0.7", "fr"),
        ("zh-TW", "zh-Hant"),
        ("zh-Hant-HK", "zh-Hant"),
        ("zh-CN, es;q=0.1", "es"),
        ("de;q=0, fi;q=0.1", "fi"),
        ("de;q=high, *", "en"),
    ],
)
def test_the_language_a_browser_likes_best_is_chosen(accept: str, tag: str) -> None:
    assert preferred(accept) == tag


def test_a_new_certificate_is_used_without_a_restart(
    node: NodeProcess, client: httpx.Client, port: int, trust: ssl.SSLContext
) -> None:
    assert client.get("/health/live").status_code == 200
    node.run("tls", "init", "--name", "kiosk.local")

    with socket.create_connection(("127.0.0.1", port)) as link:
        with trust.wrap_socket(link, server_hostname="kiosk.local") as secured:
            certificate = secured.getpeercert()
    assert certificate is not None
    assert ("DNS", "kiosk.local") in certificate["subjectAltName"]
    assert client.get("/health/live").status_code == 200, "who was connected stays so"


def test_a_wrong_name_is_told_in_one_line(node: NodeProcess) -> None:
    ended = node.run("tls", "init", "--name", "not a name", check=False)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert "not a name" in ended.stderr


def test_a_damaged_authority_does_not_keep_readings_away(
    tmp_path: Path, start_node: Callable[..., NodeProcess], spot: Spot
) -> None:
    folder = tmp_path / "node" / "tls"
    folder.mkdir(parents=True)
    (folder / "authority.pem").write_bytes(b"damaged")
    tls_port = free_port()

    node = start_node(tls_port=tls_port, tls_redirect=True, allowed_hosts="*")

    send(node, node.token(), reading(spot))
    assert "tls init --anew" in node.status()["tls"]["failure"]
    assert node.client.get("/", headers={"Host": "box.local"}).status_code == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", tls_port))


def test_a_node_stops_at_once_though_clients_hold_on(
    start_node: Callable[..., NodeProcess],
) -> None:
    port = free_port()
    node = start_node(tls_port=port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=node.client.get("/ca.crt").text)
    with (
        socket.create_connection(("127.0.0.1", port)),
        socket.create_connection(("127.0.0.1", port)) as link,
    ):
        secured = context.wrap_socket(link, server_hostname="localhost")
        secured.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: b"200" in secured.recv(4096), 10)
        assert node.stop() == 0
        secured.close()


def test_without_a_tls_port_there_is_nothing_to_trust(server: NodeProcess) -> None:
    for path in ("/trust", "/ca.crt"):
        answer = server.client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
