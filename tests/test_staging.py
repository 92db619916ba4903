"""What was checked of a release is what gets into the slot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.releases import build, sha256_of
from urbanos_edge.deploy.slots import Slots
from urbanos_edge.deploy.staging import Vouched, stage

PROGRAM = "urbanos_edge/rights.py"


def test_what_comes_into_the_folder_after_the_check_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither another release of the same name, with all that it needs, nor a module of Python."""
    folder, elsewhere = tmp_path / "stick", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    wheel = build(folder, "9.0.2")
    assert build(elsewhere, "9.0.2", {PROGRAM: "\n# of somebody else\n"}).name == wheel.name
    for module in ("pip.py", "venv.py"):
        (folder / module).write_text("raise SystemExit('of somebody else')\n")
    monkeypatch.chdir(folder)

    def exchange(_: float, doing: str) -> None:
        if doing == "making the environment":
            for path in elsewhere.glob("*.whl"):
                shutil.copy(path, folder)

    slots, vouched = Slots(tmp_path / "root"), Vouched(sha256_of(wheel))
    slot = stage(slots, wheel, folder, vouched, now=False, tell=exchange)
    assert sha256_of(wheel) != slot.sha256 == vouched.sha256
    (packages,) = slots.folder(slots.idle).glob("lib/python3.*/site-packages")
    assert "of somebody else" not in (packages / PROGRAM).read_text()
    assert {path.name for path in slots.root.iterdir()} == {"blue", "deploy.lock", "state.json"}
