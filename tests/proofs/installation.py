"""`scripts/install` on a bare Debian, then what systemd and a power cut do to what it has made."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import Any, Final

from tests.proofs.display import what_the_display_reaches
from tests.proofs.operating import another_place, other_ports
from tests.proofs.trees import ROOT, SLOT, Box, bare_debian, booted, copy_sources, say, wait_until

WATCHDOG_S: Final = 30
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


def prove_install(folder: Path) -> dict[str, Any]:
    tree = bare_debian(folder).copy_to(folder / "box")
    copy_sources(tree, "/root/urbanos-edge")
    say("running scripts/install")
    began_s = time.monotonic()
    token = tree.run("scripts/install --name Proof", directory="/root/urbanos-edge").split()[-1]
    found: dict[str, Any] = {"install s": round(time.monotonic() - began_s)}
    tree.install("systemd", "systemd-sysv", "dbus")
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
        found |= {"wall display": what_the_display_reaches(box)}
        found |= {"hung node back s": _hang(box)}
        assert box.ask("rows") == "1"
    tree.run(f"{SLOT}/bin/python -c {shlex.quote(BREAK_OFF)}")
    say("booting it in the middle of a watch")
    with booted(tree) as box:
        found |= {"bad version gone s": _give_way(box)}
        assert box.ask("rows") == "1"
        found |= other_ports(box) | another_place(box)
    return found


def _restart_under_requests(box: Box) -> dict[str, Any]:
    say("starting it anew under requests")
    former = box.main_pid()
    box.run("systemd-run", "--quiet", "sh", "-c", "sleep 2; systemctl restart urbanos-edge")
    found = json.loads(box.ask("many", "15"))
    assert box.main_pid() not in (0, former)
    assert found["failed"] == 0, found
    return {f"restart {name}": value for name, value in found.items()}


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
