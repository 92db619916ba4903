"""The recipe for an image, as far as it can be read; `scripts/prove container` does it."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.proofs.container import instructions
from tests.proofs.documents import commands_in

ROOT = Path(__file__).parents[1]
LINES = list(instructions((ROOT / "Containerfile").read_text(encoding="utf-8")))
LAST_STAGE = LINES[max(n for n, (word, _) in enumerate(LINES) if word == "FROM") :]


def the_last(word: str) -> str:
    return [rest for found, rest in LAST_STAGE if found == word][-1]


def the_unit(section: str = "Container") -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "systemd" / "urbanos-edge.container")
    return unit[section]


def test_the_image_is_of_two_stages_of_one_named_version_and_nothing_is_fetched_by_address() -> (
    None
):
    bases = [rest.split()[0] for word, rest in LINES if word == "FROM"]
    assert len(bases) == 2
    assert set(bases) == {"debian:12-slim"}
    assert not [rest for word, rest in LINES if word == "ADD" or "://" in rest.split(" CMD ")[0]]


def test_it_runs_as_a_user_that_is_not_root_and_owns_the_data_only() -> None:
    uid, gid = the_last("USER").split(":")
    assert int(uid) > 0 and int(gid) > 0
    assert f"--uid {uid}" in the_last("RUN")
    assert re.search(rf"--owner urbanos .*{the_last('VOLUME')} &&", the_last("RUN"))
    assert LAST_STAGE.index(("USER", the_last("USER"))) < len(LAST_STAGE) - 1


def test_its_health_is_that_of_the_node() -> None:
    program, *_ = json.loads(the_last("HEALTHCHECK").partition(" CMD ")[2])
    slot = the_last("COPY").split()[-1]
    assert program == f"{slot}/bin/python"
    assert json.loads(the_last("ENTRYPOINT")) == [f"{slot}/bin/urbanos-edge"]


def test_its_health_is_asked_for_at_the_port_that_is_set() -> None:
    """Else who sets another one has the container killed for it, again and again."""
    asked = []

    class Node(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

    _, *words = json.loads(the_last("HEALTHCHECK").partition(" CMD ")[2])
    with HTTPServer(("127.0.0.1", 0), Node) as server:
        threading.Thread(target=server.handle_request).start()
        where = os.environ | {"URBANOS_PORT": str(server.server_port)}
        subprocess.run([sys.executable, *words], env=where, check=True, timeout=30)
    assert asked == ["/health/live"], "a node with a full disk is not ready, and none to be killed"
    assert shlex.split(the_unit()["HealthCmd"])[1:] == words


def test_it_is_not_killed_while_it_starts() -> None:
    within_s = the_unit("Service")["TimeoutStartSec"]
    assert the_unit()["HealthStartPeriod"] == f"{within_s}s"
    assert f"--start-period={within_s}s" in the_last("HEALTHCHECK")


def test_commands_are_given_in_the_container_as_the_documents_say() -> None:
    slot = the_last("COPY").split()[-1]
    assert f"ln --symbolic {slot}/bin/urbanos-edge /usr/local/bin/" in the_last("RUN")
    assert {words[0] for words in commands_in(the_unit()["ContainerName"])} == {"urbanos-edge"}


def test_what_git_leaves_out_does_not_go_into_the_image_either() -> None:
    ignored, left_out = (
        {line.strip().rstrip("/").removeprefix("**/") for line in path.read_text().splitlines()}
        for path in (ROOT / ".gitignore", ROOT / ".containerignore")
    )
    assert {name for name in ignored if name and "*" not in name} <= left_out


def test_the_unit_for_podman_is_as_strict_as_the_recipe() -> None:
    found = the_unit()
    assert f"{found['User']}:{found['Group']}" == the_last("USER")
    assert found["ReadOnly"] == found["NoNewPrivileges"] == "true"
    assert found["DropCapability"] == "all"
    assert found["Volume"].endswith(f":{the_last('VOLUME')}")
