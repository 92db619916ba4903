"""What a wall display on the box would see: there is no screen, but a network of its own."""

from __future__ import annotations

import re
from typing import Final

from tests.proofs.trees import SLOT, Box, say

DISPLAYED: Final = "http://127.0.0.1:8080/kiosk"


def what_the_display_reaches(box: Box) -> str:
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
    journal = box.run("journalctl", "-q", "-b", "-u", "urbanos-kiosk.service")
    said: str = re.findall(r"sees (.*)", journal)[-1]
    assert said == "['lo'] 200", said
    return said
