"""Disks of our own: ext4 in a file, mounted through a loop device, and copies of one moment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.processes import wait_until

LAZY: Final = "commit=300,noauto_da_alloc"
"""Mount options under which ext4 writes as little as it may by itself."""
CAREFUL: Final = "defaults"
COPY_ATTEMPTS: Final = 20
PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_ENVIRONMENT: Final = os.environ | {"PATH": PATH}
NEEDED: Final = ("mkfs.ext4", "e2fsck", "mount", "umount", "losetup")


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted image."""

    image: Path
    mount: Path
    device: str

    def writes(self) -> int:
        """Write requests that the device has completed so far."""
        return int(Path(f"/sys/block/{Path(self.device).name}/stat").read_text().split()[4])


def skip_without_disks() -> None:
    """Skip the test where loop devices cannot be mounted."""
    missing = [tool for tool in NEEDED if shutil.which(tool, path=PATH) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is missing; it takes e2fsprogs and util-linux")
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("mounting an image takes root and a loop device")


@contextmanager
def new_disk(folder: Path, mib: int, options: str = LAZY) -> Iterator[Disk]:
    """An empty ext4 of that size; gone when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "disk.img"
    with image.open("wb") as stream:
        stream.truncate(mib << 20)
    _run("mkfs.ext4", "-q", "-m", "0", str(image))
    with mounted(image, options) as disk:
        yield disk
    image.unlink()


@contextmanager
def mounted(image: Path, options: str = CAREFUL) -> Iterator[Disk]:
    """Mount an image; its journal is replayed as after a power cut."""
    mount = image.with_suffix(".mounted")
    mount.mkdir()
    try:
        _run("mount", "-o", f"loop,{options}", str(image), str(mount))
        try:
            yield Disk(image, mount, _run("findmnt", "-n", "-o", "SOURCE", str(mount)).strip())
        finally:
            _unmount(mount)
    finally:
        mount.rmdir()


@contextmanager
def leaving_in_order() -> Iterator[None]:
    """Let SIGTERM end this process like Ctrl-C, so that nothing stays mounted or running."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def copy_moment(disk: Disk, target: Path) -> None:
    """Copy what has reached the device, and nothing that arrives while it is copied.

    The kernel's own writers do not stop with the node; a copy during which the device was
    written is thrown away.
    """
    for _ in range(COPY_ATTEMPTS):
        before = disk.writes()
        _run("cp", "--sparse=always", str(disk.image), str(target))
        if disk.writes() == before:
            return
    raise AssertionError("the disk did not come to rest")


def repair(image: Path) -> None:
    """Replay the journal and check the filesystem, as a machine does when it boots."""
    checked = subprocess.run(
        ["e2fsck", "-f", "-p", str(image)], capture_output=True, text=True, env=_ENVIRONMENT
    )
    assert checked.returncode in (0, 1), f"the filesystem itself is damaged:\n{checked.stdout}"


def _unmount(mount: Path) -> None:
    """Unmount as soon as the last process has let go of it; at last by force."""

    def is_unmounted() -> bool:
        tried = subprocess.run(["umount", str(mount)], capture_output=True, env=_ENVIRONMENT)
        return tried.returncode == 0

    try:
        wait_until(is_unmounted, 10)
    except AssertionError:
        _run("umount", "--lazy", str(mount))
        raise


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=_ENVIRONMENT)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout
