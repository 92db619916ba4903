"""The recipe for an image, as far as it can be read; `scripts/prove container` does it."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path

from tests.proofs.container import instructions

ROOT = Path(__file__).parents[1]
LINES = list(instructions((ROOT / "Containerfile").read_text(encoding="utf-8")))
LAST_STAGE = LINES[max(n for n, (word, _) in enumerate(LINES) if word == "FROM") :]


def the_last(word: str) -> str:
    return [rest for found, rest in LAST_STAGE if found == word][-1]


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
    assert re.search(rf"--owner urbanos .*{the_last('VOLUME')}$", the_last("RUN"))
    assert LAST_STAGE.index(("USER", the_last("USER"))) < len(LAST_STAGE) - 1


def test_its_health_is_that_of_the_node() -> None:
    program, *words = json.loads(the_last("HEALTHCHECK").partition(" CMD ")[2])
    slot = the_last("COPY").split()[-1]
    assert program == f"{slot}/bin/python"
    assert "http://127.0.0.1:8080/health/ready" in words[-1]
    assert json.loads(the_last("ENTRYPOINT")) == [f"{slot}/bin/urbanos-edge"]


def test_what_git_leaves_out_does_not_go_into_the_image_either() -> None:
    ignored, left_out = (
        {line.strip().rstrip("/").removeprefix("**/") for line in path.read_text().splitlines()}
        for path in (ROOT / ".gitignore", ROOT / ".containerignore")
    )
    assert {name for name in ignored if name and "*" not in name} <= left_out


def test_the_unit_for_podman_is_as_strict_as_the_recipe() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "systemd" / "urbanos-edge.container")
    found = unit["Container"]
    assert f"{found['User']}:{found['Group']}" == the_last("USER")
    assert found["ReadOnly"] == found["NoNewPrivileges"] == "true"
    assert found["DropCapability"] == "all"
    assert found["Volume"].endswith(f":{the_last('VOLUME')}")
