"""What `scripts/wheel --wheelhouse` brings, on a bare Debian with Python and without a network."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Final

from tests.proofs.trees import SLOT, Tree, bare_debian, copy_sources, running, say, wait_until

PYTHON: Final = ("python3", "python3-venv")
OFFLINE: Final = "--private-network"
PACKAGE: Final = "lib/python3.11/site-packages/urbanos_edge"


def prove_wheelhouse(folder: Path) -> dict[str, Any]:
    """The wheel by pip, the source archive alone by pip, and both by scripts/install."""
    maker = bare_debian(folder).copy_to(folder / "maker")
    maker.install(*PYTHON)
    box = maker.copy_to(folder / "offline")
    found = _fill(maker, box.path / "srv" / "dist")
    for kind, other in (("wheel", "*.tar.gz"), ("sdist", "urbanos_edge-*.whl")):
        found |= _install(box, kind, other)
    box.run(f"diff -r --exclude=__pycache__ /opt/wheel/{PACKAGE} /opt/sdist/{PACKAGE}")
    found |= _serve(box)
    return found | _install_for_good(box)


def _fill(maker: Tree, target: Path) -> dict[str, Any]:
    say("scripts/wheel --wheelhouse dist")
    copy_sources(maker, "/root/urbanos-edge")
    began_s = time.monotonic()
    maker.run("scripts/wheel --wheelhouse dist", directory="/root/urbanos-edge")
    took_s = round(time.monotonic() - began_s)
    shutil.copytree(maker.path / "root" / "urbanos-edge" / "dist", target)
    files = list(target.iterdir())
    size_mib = sum(path.stat().st_size for path in files) >> 20
    return {"made s": took_s, "files": len(files), "MiB": size_mib}


def _install(box: Tree, kind: str, other: str) -> dict[str, Any]:
    """By pip alone, with the other form of the node taken out of its sight."""
    say(f"installing the {kind}")
    box.run(f"cp -r /srv/dist /srv/{kind} && rm /srv/{kind}/{other} && python3 -m venv /opt/{kind}")
    began_s = time.monotonic()
    words = f"/opt/{kind}/bin/pip install --quiet --no-index --find-links /srv/{kind} urbanos-edge"
    box.run(words, OFFLINE)
    took_s = round(time.monotonic() - began_s)
    (program, _, version) = box.run(f"/opt/{kind}/bin/urbanos-edge --version", OFFLINE).split()
    assert program == "urbanos-edge,"
    return {f"{kind} installed s": took_s, "version": version}


def _serve(box: Tree) -> dict[str, Any]:
    say("urbanos-edge serve --demo")
    began_s = time.monotonic()
    words = box.words(OFFLINE, "--as-pid2", directory="/srv")
    with running([*words, "/opt/sdist/bin/urbanos-edge", "serve", "--demo"]) as node:
        wait_until(
            lambda: node.ask("reporting", slot="/opt/sdist") not in ("", "0"),
            90,
            "the demonstration shows nothing",
        )
        assert node.ask("ready", slot="/opt/sdist") == "ready"
    return {"demonstration after s": round(time.monotonic() - began_s)}


def _install_for_good(box: Tree) -> dict[str, Any]:
    """As docs/operations.md says it, by a root whose new files nobody else may read."""
    say("scripts/install, from the source archive")
    box.run(
        "tar -xzf dist/urbanos_edge-*.tar.gz --strip-components=1 --one-top-level=source",
        directory="/srv",
    )
    began_s = time.monotonic()
    words = "umask 077; source/scripts/install --wheel dist/urbanos_edge-*.whl --wheelhouse dist"
    box.run(words, OFFLINE, directory="/srv")
    took_s = round(time.monotonic() - began_s)
    box.run(f"urbanos-edge --version && {SLOT}/bin/python -c 'import urbanos_edge'", OFFLINE)
    return {"scripts/install s": took_s}
