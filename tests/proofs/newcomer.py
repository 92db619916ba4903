"""README's two commands in a fresh clone, on a Debian 12 with Python, git and certificates added.

As root, and as a user who can become nobody else.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

from tests.proofs.trees import (
    ON_DISK,
    ROOT,
    Tree,
    bare_debian,
    children_of,
    copy_sources,
    running,
    say,
    wait_until,
)

ADDED: Final = ("ca-certificates", "git", "python3", "python3-venv")
HOMES: Final = {"root": "/root", "newcomer": "/home/newcomer"}
SERVES_WITHIN_S: Final = 900


def prove_newcomer(folder: Path) -> dict[str, Any]:
    """`scripts/serve --demo` twice, for each of the two."""
    tree = _debian_with_clones(folder / "newcomer")
    found: dict[str, Any] = {}
    for user in HOMES:
        for start in ("first", "next"):
            say(f"scripts/serve --demo as {user}, the {start} start")
            found[f"{user}'s {start} start s"] = _serve(tree, user)
    return found


def prove_tests(folder: Path) -> dict[str, Any]:
    """`scripts/test`: what the user is told at first, root's run, and then the user's."""
    tree = _debian_with_clones(folder / "tests")
    wanted = _packages_asked_for(tree)
    found: dict[str, Any] = {"Debian packages": len(wanted)}
    found |= _test(tree, "root")
    tree.run(f"dpkg --status {' '.join(wanted)} >/dev/null")
    return found | _test(tree, "newcomer")


def _debian_with_clones(path: Path) -> Tree:
    say("making a Debian 12 with a clone for each")
    tree = bare_debian(path.parent).copy_to(path)
    tree.install(*ADDED)
    tree.run("useradd --create-home newcomer")
    bundle = tree.path / "srv" / "urbanos-edge.bundle"
    words = [
        "git",
        "-C",
        str(ROOT),
        "bundle",
        "create",
        "--quiet",
        str(bundle),
        "HEAD",
        "--branches",
    ]
    subprocess.run(words, check=True)
    for user, home in HOMES.items():
        tree.run(
            "git clone --quiet /srv/urbanos-edge.bundle urbanos-edge", directory=home, user=user
        )
        _bring_up_to_date(tree, user)
    return tree


def _bring_up_to_date(tree: Tree, user: str) -> None:
    """Lay what is not committed yet over the clone."""
    clone = f"{HOMES[user]}/urbanos-edge"
    copy_sources(tree, clone)
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--deleted"]
    gone = subprocess.run(listed, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in filter(None, gone.split("\0")):
        (tree.path / clone[1:] / name).unlink(missing_ok=True)
    tree.run(f"chown --recursive {user}: {clone}")


def _serve(tree: Tree, user: str) -> int:
    """Seconds until sensors report and the streets are there; then it is stopped as by Ctrl-C."""
    port, log = _free_port(), tree.path.parent / f"{user}-serve.log"
    options = ("--as-pid2", f"--setenv=URBANOS_PORT={port}")
    words = tree.words(*options, directory=f"{HOMES[user]}/urbanos-edge", user=user)
    began_s = time.monotonic()
    with (
        log.open("w") as file,
        running([*words, "scripts/serve", "--demo"], stdout=file, stderr=file) as box,
    ):
        wait_until(
            lambda: _shows_readings(port) or not children_of(box.leader),
            SERVES_WITHIN_S,
            f"the demonstration shows nothing; see {log}",
        )
        took_s = round(time.monotonic() - began_s)
        assert _ask(port, "/basemap.json"), "there are no streets"
        (node,) = children_of(box.leader)
        os.kill(node, signal.SIGINT)
        wait_until(lambda: not Path(f"/proc/{node}").exists(), 60, "it does not stop")
    return took_s


def _shows_readings(port: int) -> bool:
    try:
        _ask(port, "/health/ready")
        return bool(_ask(port, "/api/v1/status")["sensors"]["reporting"])
    except OSError:
        return False


def _ask(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _packages_asked_for(tree: Tree) -> list[str]:
    """What the user has root install; nothing was made before that was asked for."""
    ended = _run_tests(tree, "newcomer", stderr=subprocess.PIPE)
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("urbanos-edge:")]
    assert ended.returncode == 1
    say(f"as newcomer: {line}")
    look = "git ls-files --others --ignored --exclude-standard --directory"
    made = tree.run(look, directory=f"{HOMES['newcomer']}/urbanos-edge", user="newcomer")
    assert made == "", made
    return line.partition("--no-install-recommends ")[2].split()


def _test(tree: Tree, user: str) -> dict[str, Any]:
    log = tree.path.parent / f"{user}-test.log"
    say(f"scripts/test as {user}; see {log}")
    began_s = time.monotonic()
    with log.open("w") as file:
        ended = _run_tests(tree, user, stdout=file, stderr=file)
    if ended.returncode != 0:
        sys.exit(f"prove: scripts/test as {user} fails; see {log}")
    ((passed, skipped),) = re.findall(r"= (\d+) passed, (\d+) skipped", log.read_text("utf-8"))
    figures = {
        "min": round((time.monotonic() - began_s) / 60),
        "passed": passed,
        "skipped": skipped,
    }
    return {f"{user}'s {name}": value for name, value in figures.items()}


def _run_tests(tree: Tree, user: str, **options: Any) -> subprocess.CompletedProcess[str]:
    words = tree.words("--pipe", directory=f"{HOMES[user]}/urbanos-edge", user=user)
    return subprocess.run([*words, "scripts/test"], text=True, env=ON_DISK, **options)
