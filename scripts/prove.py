"""Proves on a bare Debian 12 that the node installs and lives there: as root,
`python3 scripts/prove.py install|container [--folder DIR] [--record]`.

`install` runs scripts/install in a fresh tree (debootstrap), boots it with systemd
(systemd-nspawn), and asks: does it serve, is nobody refused during a restart, is a node that hangs
started anew, does a bad version give way whose watch a power cut broke off, are the readings still
there. `container` does what the Containerfile says, each
stage in a tree of its own, and runs the last one read-only. Needs Debian's debootstrap and
systemd-container; only the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
RELIABILITY: Final = ROOT / "docs" / "reliability.md"
FIGURES: Final = re.compile(r"(<!-- box: .*?-->\n).*?(<!-- end of box -->)", re.S)
OF_THIS_MACHINE: Final = (
    *("/etc/resolv.conf", "/etc/pip.conf", "/etc/npmrc", "/root/.npmrc", "/root/.config/pip"),
    "/etc/ssl/certs/ca-certificates.crt",
)
"""How packages are reached from here; a box of its own has its own."""
CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
SLOT: Final = "/opt/urbanos-edge/current"
DISPLAYED: Final = "http://127.0.0.1:8080/kiosk"
WATCHDOG_S: Final = 30
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

BREAK_OFF = """
import shutil
from pathlib import Path
import msgspec
from urbanos_edge.deploy.slots import Slots
slots = Slots(Path("/opt/urbanos-edge"))
shutil.copytree(slots.folder("blue"), slots.folder("green"), symlinks=True)
program = slots.program("green")
program.write_text(program.read_text().replace("/blue/", "/green/"))
(server,) = slots.folder("green").glob("lib/python3.*/site-packages/urbanos_edge/server/server.py")
server.write_text(server.read_text() + "\\nraise SystemExit('this version does not start')\\n")
with slots.changing() as state:
    state.slots["green"] = msgspec.structs.replace(state.slots["blue"], version="99.0.0")
    state.phase, state.previous = "watching", "blue"
    slots.save(state)
slots.use("green")
"""
"""What a power cut leaves in the middle of the watch of a version that does not start."""


class Tree:
    """A directory with a Debian in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, command: str, *options: str, directory: str = "/") -> str:
        """Run a shell command in it, and return what it printed; its errors are shown."""
        shell = f"export SSL_CERT_FILE={CERTIFICATES} PIP_CERT={CERTIFICATES}"
        shell += f" NODE_EXTRA_CA_CERTS={CERTIFICATES} DEBIAN_FRONTEND=noninteractive; "
        words = [*self.nspawn(), "--pipe", *options, f"--chdir={directory}", "/bin/bash", "-c"]
        ended = subprocess.run([*words, shell + command], stdout=subprocess.PIPE, text=True)
        if ended.returncode != 0:
            sys.exit(f"prove: failed in {self.path.name}: {command}")
        return ended.stdout.strip()

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
    """A tree that was booted."""

    def __init__(self, leader: int) -> None:
        self._leader = leader

    def run(self, *words: str) -> str:
        enter = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        return subprocess.run([*enter, *words], stdout=subprocess.PIPE, text=True).stdout.strip()

    def ask(self, *words: str) -> str:
        return self.run(f"{SLOT}/bin/python", "-c", ASK, *words)

    def main_pid(self) -> int:
        return int(self.run("systemctl", "show", "--value", "-p", "MainPID", "urbanos-edge") or 0)

    def state(self) -> str:
        return self.run("systemctl", "show", "--value", "-p", "ActiveState", "urbanos-edge")


@contextmanager
def booted(tree: Tree) -> Iterator[Box]:
    """The tree with systemd as its first process, in a network of its own."""
    words = [*tree.nspawn(), "--boot", "--private-network", "--console=read-only"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: children.read_text().split(), 30, "the box does not boot")
        yield Box(int(children.read_text().split()[0]))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)


def prove_install(folder: Path) -> dict[str, Any]:
    tree = bare_debian(folder).copy_to(folder / "box")
    copy_sources(tree, "/root/urbanos-edge")
    say("running scripts/install")
    began_s = time.monotonic()
    token = tree.run("scripts/install --name Proof", directory="/root/urbanos-edge").split()[-1]
    found: dict[str, Any] = {"install s": round(time.monotonic() - began_s)}
    tree.run("apt-get install -yqq --no-install-recommends systemd systemd-sysv dbus >/dev/null")
    tree.run("systemctl enable -q urbanos-edge.socket urbanos-edge.service urbanos-watch.service")
    for unit in (ROOT / "systemd").glob("urbanos-kiosk*"):
        shutil.copy(unit, tree.path / "etc" / "systemd" / "system")
    tree.run("groupadd -rf render; useradd --system --user-group urbanos-kiosk")
    say("booting it")
    with booted(tree) as box:
        wait_until(lambda: box.state() == "active", 90, "the service does not start")
        assert box.ask("ready") == "ready"
        assert box.ask("send", token) == "202"
        wait_until(lambda: box.ask("rows") == "1", 60, "the reading is not stored")
        found |= {"seccomp": box.run("grep", "Seccomp:", f"/proc/{box.main_pid()}/status")[-1]}
        said = box.run("systemd-analyze", "security", "--no-pager", "urbanos-edge.service")
        found |= {"exposure": re.findall(r"exposure level.*: ([0-9.]+)", said)[0]}
        found |= _restart_under_requests(box)
        found |= {"wall display": _what_the_display_reaches(box)}
        found |= {"hung node back s": _hang(box)}
        assert box.ask("rows") == "1"
    tree.run(f"{SLOT}/bin/python -c {shlex.quote(BREAK_OFF)}")
    say("booting it in the middle of a watch")
    with booted(tree) as box:
        found |= {"bad version gone s": _give_way(box)}
        assert box.ask("rows") == "1"
    return found


def _restart_under_requests(box: Box) -> dict[str, Any]:
    say("starting it anew under requests")
    former = box.main_pid()
    box.run("systemd-run", "--quiet", "sh", "-c", "sleep 2; systemctl restart urbanos-edge")
    found = json.loads(box.ask("many", "15"))
    assert box.main_pid() not in (0, former)
    assert found["failed"] == 0, found
    return {f"restart {name}": value for name, value in found.items()}


def _what_the_display_reaches(box: Box) -> str:
    """Ask the node from where the wall display's browser would run; there is no screen here."""
    say("asking from the wall display's network")
    looks = "import os, urllib.request as r; print('sees', os.listdir('/sys/class/net'),"
    looks += f" r.urlopen('{DISPLAYED}', timeout=60).status)"
    text = "[Service]\nType=oneshot\nRestart=no\nExecStart=\n"
    text += f'ExecStart={SLOT}/bin/python -c "{looks}"\n'
    folder = "/run/systemd/system/urbanos-kiosk.service.d"
    box.run("bash", "-c", f"mkdir -p {folder}; cat > {folder}/proof.conf <<'END'\n{text}END")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", "urbanos-kiosk.service")
    (said,) = re.findall(r"sees (.*)", box.run("journalctl", "-q", "-u", "urbanos-kiosk.service"))
    assert said == "['lo'] 200", said
    return said


def _hang(box: Box) -> float:
    """Stop the node's process as a whole; the watchdog has to notice."""
    say("letting it hang")
    former, began_s = box.main_pid(), time.monotonic()
    box.run("bash", "-c", f"kill -STOP {former}")
    wait_until(
        lambda: box.main_pid() not in (0, former) and box.state() == "active",
        WATCHDOG_S + 60,
        "the node that hangs is not started anew",
    )
    return round(time.monotonic() - began_s, 1)


def _give_way(box: Box) -> float:
    """Wait until the version before is in use again; it has only systemd to tell it to watch."""
    began_s = time.monotonic()
    wait_until(
        lambda: box.run("readlink", SLOT) == "blue" and box.state() == "active",
        120,
        "the bad version stays",
    )
    wait_until(lambda: box.ask("ready") == "ready", 60, "the version before is not ready")
    return round(time.monotonic() - began_s, 1)


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
            source, from_path, to_path = re.fullmatch(r"--from=(\S+) (\S+) (\S+)", rest).groups()
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
    process = subprocess.Popen([*words, *entry], stdin=subprocess.DEVNULL)
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: children.read_text().split(), 30, "the container does not start")
        box, began_s = Box(int(children.read_text().split()[0])), time.monotonic()
        check = f"{shlex.join(json.loads(health))} >/dev/null 2>&1 && echo well"
        wait_until(lambda: box.run("sh", "-c", check) == "well", 90, "the health check fails")
        found = {"well after s": round(time.monotonic() - began_s, 1)}
        assert box.run("stat", "-c", "%u", "/data/lock") == str(uid)
        assert box.run("sh", "-c", "touch /opt/x 2>&1 || true").endswith("Read-only file system")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    return found


def wait_until(is_true: Callable[[], object], within_s: float, otherwise: str) -> None:
    deadline_s = time.monotonic() + within_s
    while not is_true():
        if time.monotonic() > deadline_s:
            sys.exit(f"prove: {otherwise}")
        time.sleep(0.5)


def say(text: str) -> None:
    print(f"prove: {text}", file=sys.stderr)  # noqa: T201


def record(name: str, found: dict[str, Any]) -> None:
    """Put a row into the table of docs/reliability.md, in the place of the one it had."""
    figures = ", ".join(f"{key} {value}" for key, value in found.items())
    row = f"| {name} | `python3 scripts/prove.py {name}` | {figures} |\n"

    def changed(match: re.Match[str]) -> str:
        rows = match[0][len(match[1]) : -len(match[2])].splitlines(keepends=True)
        kept = [line for line in rows if not line.startswith(f"| {name} |")]
        return match[1] + "".join(sorted([*kept, row])) + match[2]

    text = RELIABILITY.read_text(encoding="utf-8")
    RELIABILITY.write_text(FIGURES.sub(changed, text), encoding="utf-8")


def main() -> None:
    proofs = {"install": prove_install, "container": prove_container}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("proof", choices=proofs)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/urbanos-proof"))
    parser.add_argument("--record", action="store_true", help="write it into docs/reliability.md")
    given = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("prove: run this as root")
    given.folder.mkdir(parents=True, exist_ok=True)
    found = proofs[given.proof](given.folder)
    print(json.dumps({"name": given.proof, **found}))  # noqa: T201
    if given.record:
        record(given.proof, found)


if __name__ == "__main__":
    main()
