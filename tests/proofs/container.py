"""What the Containerfile says, each stage in a tree of its own, and the last one run read-only."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.proofs.documents import commands_in
from tests.proofs.trees import (
    ROOT,
    Box,
    Tree,
    bare_debian,
    copy_sources,
    running,
    say,
    wait_until,
)

PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def prove_container(folder: Path) -> dict[str, Any]:
    base, stages = bare_debian(folder), {}
    tree, name, settings = base, "", {}
    began_s = time.monotonic()
    for word, rest in instructions((ROOT / "Containerfile").read_text(encoding="utf-8")):
        say(f"{word} {rest[:60]}")
        if word == "FROM":
            name = rest.partition(" AS ")[2] or "last"
            tree = stages[name] = base.copy_to(folder / f"stage-{name}")
            directory = "/"
        elif word == "WORKDIR":
            directory = rest
        elif word == "RUN":
            tree.run(rest, directory=directory)
        elif word == "COPY" and rest == ". .":
            copy_sources(tree, directory)
        elif word == "COPY":
            ((source, from_path, to_path),) = re.findall(r"^--from=(\S+) (\S+) (\S+)$", rest)
            origin = stages[source].path / from_path[1:]
            subprocess.run(["cp", "-a", str(origin), str(tree.path / to_path[1:])], check=True)
        else:
            settings[word] = rest
    return {"build s": round(time.monotonic() - began_s)} | _run_container(tree, settings)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The lines of a Containerfile: its words in capitals, and what follows."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest


def _run_container(tree: Tree, settings: dict[str, str]) -> dict[str, Any]:
    """As `podman run --read-only` would: nothing but /data and /tmp can be written."""
    data = tree.path.parent / "data"
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(tree.path / "data", data)
    uid = int(settings["USER"].partition(":")[0])
    os.chown(data, uid, uid)
    environment = [f"--setenv={pair}" for pair in shlex.split(settings["ENV"])]
    words = [*tree.nspawn(), "--read-only", "--tmpfs=/tmp", f"--bind={data}:/data", "--as-pid2"]
    words += ["--private-network", "--user=urbanos", "--no-new-privileges=yes", *environment]
    entry = [*json.loads(settings["ENTRYPOINT"]), *json.loads(settings["CMD"])]
    health = settings["HEALTHCHECK"].partition(" CMD ")[2]
    began_s = time.monotonic()
    with running([*words, *entry]) as box:
        check = f"{shlex.join(json.loads(health))} >/dev/null 2>&1 && echo well"
        wait_until(lambda: box.run("sh", "-c", check) == "well", 90, "the health check fails")
        found = {"well after s": round(time.monotonic() - began_s, 1)}
        for command in commands_in("urbanos-edge"):
            say(f"podman exec urbanos-edge {shlex.join(command)}")
            assert _execute(box, uid, settings["ENV"], command)
        assert box.run("stat", "-c", "%u", "/data/lock") == str(uid)
        assert box.run("sh", "-c", "touch /opt/x 2>&1 || true").endswith("Read-only file system")
    return found


def _execute(box: Box, uid: int, variables: str, command: list[str]) -> str:
    """As `podman exec` would: the user, the variables and the usual PATH of the image."""
    become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return box.run(*become, "env", "--ignore-environment", PATH, *shlex.split(variables), *command)
