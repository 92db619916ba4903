"""What docs/operations.md lets an operator change on a box, done there as it stands."""

from __future__ import annotations

from typing import Any, Final

from tests.proofs.display import what_the_display_reaches
from tests.proofs.documents import drop_ins
from tests.proofs.trees import SLOT, Box, say, wait_until

PLACE: Final = "/srv/urbanos"
BACKUPS: Final = "/mnt/usb/backups"
CREDENTIAL: Final = "AWS_ACCESS_KEY_ID=proof"
_ADDED: Final = "proof-of-documents.conf"


def other_ports(box: Box) -> dict[str, Any]:
    """Move the ports, and the wall display's way with them; then back again."""
    say("moving its ports")
    _apply(box, "Other ports")
    _shell(box, "systemctl restart urbanos-edge.socket urbanos-kiosk-link.service")
    asks = "import urllib.request as r; print(r.urlopen('http://127.0.0.1/health/ready').status)"
    said = box.run(f"{SLOT}/bin/python", "-c", asks)
    found = {"at port 80": said, "wall display then": what_the_display_reaches(box)}
    for unit, _ in drop_ins("Other ports"):
        _shell(box, f"rm /etc/systemd/system/{unit}.d/{_ADDED}")
    _shell(box, "systemctl daemon-reload")
    _shell(box, "systemctl restart urbanos-edge.socket urbanos-kiosk-link.service")
    wait_until(lambda: box.ask("ready") == "ready", 60, "the old ports are not back")
    assert said == "200", said
    return found


def another_place(box: Box) -> dict[str, Any]:
    """Back up to a disk that comes late, restore to another place, and live there."""
    say("backing up to a disk, and moving the data")
    _apply(box, "What the service is given")
    _start_anew(box)
    _shell(box, f"mkdir -p /mnt/usb; install -d -o urbanos -g urbanos {BACKUPS}")
    _shell(box, "install -d -m 0755 /etc/urbanos-edge")
    _shell(box, f"umask 077; echo {CREDENTIAL} >/etc/urbanos-edge/bucket")
    _start_anew(box)
    known = box.run("grep", "-zc", CREDENTIAL, f"/proc/{box.main_pid()}/environ")
    assert known == "1", known
    _shell(box, f"urbanos-edge backup {BACKUPS}/urbanos --prove")
    _shell(box, "systemctl stop urbanos-edge.socket urbanos-edge.service")
    _shell(box, f"install -d -m 0700 -o urbanos -g urbanos {PLACE}")
    _shell(box, f"urbanos-edge restore {BACKUPS}/urbanos --to {PLACE}")
    strangers = box.run("find", PLACE, "!", "-user", "urbanos")
    assert strangers == "", strangers
    _apply(box, "Restore")
    _shell(box, "systemctl start urbanos-edge.socket urbanos-edge.service")
    wait_until(lambda: box.ask("ready") == "ready", 60, "it does not live in the other place")
    assert "no findings" in _shell(box, f"URBANOS_DATA_DIR={PLACE} urbanos-edge check")
    return {"rows in another place": int(box.ask("rows"))}


def _apply(box: Box, heading: str) -> None:
    for unit, text in drop_ins(heading):
        _add(box, unit, text)


def _add(box: Box, unit: str, text: str) -> None:
    """As `systemctl edit` would, which wants an editor; what was added before stays."""
    folder = f"/etc/systemd/system/{unit}.d"
    _shell(box, f"mkdir -p {folder}; cat >>{folder}/{_ADDED} <<'END'\n{text}END")
    _shell(box, "systemctl daemon-reload")


def _start_anew(box: Box) -> None:
    _shell(box, "systemctl restart urbanos-edge.service")
    wait_until(lambda: box.ask("ready") == "ready", 60, "it does not start")


def _shell(box: Box, command: str) -> str:
    said = box.run("bash", "-c", f"({command}\n) && echo done")
    assert said.endswith("done"), f"{command}: {said}"
    return said
