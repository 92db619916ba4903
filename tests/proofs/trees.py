"""Directories with a Debian in them (debootstrap), and programs that run there (systemd-nspawn)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
SLOT: Final = "/opt/urbanos-edge/current"
OF_THIS_MACHINE: Final = (
    *("/etc/resolv.conf", "/etc/pip.conf", "/etc/npmrc", "/root/.npmrc", "/root/.config/pip"),
    "/etc/ssl/certs/ca-certificates.crt",
)
"""How packages are reached from here; a box of its own has its own."""
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
_VARIABLES: Final = {
    "SSL_CERT_FILE": _CERTIFICATES,
    "PIP_CERT": _CERTIFICATES,
    "NODE_EXTRA_CA_CERTS": _CERTIFICATES,
    "NPM_CONFIG_GLOBALCONFIG": "/etc/npmrc",
    "DEBIAN_FRONTEND": "noninteractive",
}
"""The same for programs that ask for it by a variable; and nobody is there to ask."""
ON_DISK: Final = os.environ | {"SYSTEMD_NSPAWN_TMPFS_TMP": "0"}
"""Debian 12 keeps /tmp there."""
ASK: Final = """
import json, sys, threading, time, urllib.request
base, action = "http://127.0.0.1:8080", sys.argv[1]
def get(path):
    with urllib.request.urlopen(base + path, timeout=60) as answer:
        return json.load(answer)
if action == "send":
    reading = {"sensor_id": "proof", "location": {"lat": 60.17, "lng": 24.94},
               "values": {"pm25": 12.3}}
    request = urllib.request.Request(
        base + "/api/v1/data/ingest", json.dumps(reading).encode(),
        {"Authorization": "Bearer " + sys.argv[2], "Content-Type": "application/json"})
    print(urllib.request.urlopen(request, timeout=60).status)
elif action == "rows":
    print(get("/api/v1/status")["store"]["rows"])
elif action == "reporting":
    try:
        print(get("/api/v1/status")["sensors"]["reporting"])
    except OSError:
        print(0)
elif action == "ready":
    print(get("/health/ready")["status"])
elif action == "many":
    failed = asked = 0
    end = time.monotonic() + float(sys.argv[2])
    slowest = 0.0
    while time.monotonic() < end:
        asked += 1
        began = time.monotonic()
        try:
            get("/health/ready")
        except Exception:
            failed += 1
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.02)
    print(json.dumps({"asked": asked, "failed": failed, "slowest_s": round(slowest, 2)}))
"""


class Tree:
    """A directory with a Debian in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, command: str, *options: str, directory: str = "/", user: str = "root") -> str:
        """Run a shell command in it, and return what it printed; its errors are shown."""
        words = [*self.words("--pipe", *options, directory=directory, user=user), "/bin/bash", "-c"]
        ended = subprocess.run([*words, command], stdout=subprocess.PIPE, text=True, env=ON_DISK)
        if ended.returncode != 0:
            sys.exit(f"prove: failed in {self.path.name}: {command}")
        return ended.stdout.strip()

    def install(self, *packages: str) -> None:
        """Debian's packages, and nothing that they only recommend."""
        words = f"apt-get install -yqq --no-install-recommends {' '.join(packages)}"
        self.run(f"(apt-get update && {words}) >/dev/null")

    def words(self, *options: str, directory: str = "/", user: str = "root") -> list[str]:
        """What a command in it begins with; packages are reached as from this machine."""
        variables = [f"--setenv={name}={value}" for name, value in _VARIABLES.items()]
        return [*self.nspawn(), *variables, *options, f"--chdir={directory}", f"--user={user}"]

    def nspawn(self) -> list[str]:
        common = ["--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off"]
        return ["systemd-nspawn", "--quiet", f"--directory={self.path}", *common]

    def copy_to(self, path: Path) -> Tree:
        shutil.rmtree(path, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.path), str(path)], check=True)
        return Tree(path)


def bare_debian(folder: Path) -> Tree:
    """The smallest Debian 12, made once and copied from then on."""
    base = Tree(folder / "base")
    if not (base.path / "etc" / "debian_version").is_file():
        say("making a bare Debian 12")
        words = ["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm"]
        subprocess.run([*words, str(base.path)], check=True, stdout=subprocess.DEVNULL)
    for name in OF_THIS_MACHINE:
        source, target = Path(name), base.path / name[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.is_file():
            shutil.copy(source, target)
    return base


def copy_sources(tree: Tree, directory: str) -> None:
    """What git knows of this checkout, and what is new in it."""
    target = tree.path / directory[1:]
    target.mkdir(parents=True, exist_ok=True)
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others"]
    names = subprocess.run([*listed, "--exclude-standard"], check=True, stdout=subprocess.PIPE)
    present = [
        name for name in names.stdout.split(b"\0") if name and (ROOT / name.decode()).exists()
    ]
    packed = subprocess.run(
        ["tar", "-C", str(ROOT), "--null", "-T", "-", "-cf", "-"],
        input=b"\0".join(present),
        check=True,
        stdout=subprocess.PIPE,
    )
    subprocess.run(["tar", "-C", str(target), "-xf", "-"], input=packed.stdout, check=True)


class Box:
    """What runs in a tree, seen from inside."""

    def __init__(self, leader: int) -> None:
        self.leader = leader

    def run(self, *words: str) -> str:
        enter = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        return subprocess.run([*enter, *words], stdout=subprocess.PIPE, text=True).stdout.strip()

    def ask(self, *words: str, slot: str = SLOT) -> str:
        """Ask the node there, by the Python of that environment; see `ASK`."""
        return self.run(f"{slot}/bin/python", "-c", ASK, *words)

    def main_pid(self) -> int:
        return int(self.run("systemctl", "show", "--value", "-p", "MainPID", "urbanos-edge") or 0)

    def state(self) -> str:
        return self.run("systemctl", "show", "--value", "-p", "ActiveState", "urbanos-edge")


@contextmanager
def running(words: list[str], **options: Any) -> Iterator[Box]:
    """What these words of systemd-nspawn start; it is told to stop at the end."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, env=ON_DISK, **options)
    try:
        wait_until(lambda: children_of(process.pid), 30, "systemd-nspawn starts nothing")
        yield Box(children_of(process.pid)[0])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)


def booted(tree: Tree) -> AbstractContextManager[Box]:
    """The tree with systemd as its first process, in a network of its own."""
    words = [*tree.nspawn(), "--boot", "--private-network", "--console=read-only"]
    return running(words, stdout=subprocess.DEVNULL)


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(is_true: Callable[[], object], within_s: float, otherwise: str) -> None:
    deadline_s = time.monotonic() + within_s
    while not is_true():
        if time.monotonic() > deadline_s:
            sys.exit(f"prove: {otherwise}")
        time.sleep(0.5)


def say(text: str) -> None:
    print(f"prove: {text}", file=sys.stderr)  # noqa: T201
