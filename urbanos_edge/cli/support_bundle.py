"""The command `support-bundle`: one file with all that somebody needs who is to help."""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import tarfile
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from urbanos_edge import __version__
from urbanos_edge.cli.asking import ask, data_dir_option, progress_bar
from urbanos_edge.secrecy import Veil
from urbanos_edge.settings import default_config, load

UNIT: Final = "urbanos-edge"
JOURNAL_LINES: Final = 5000
JOURNAL_WITHIN_S: Final = 20
_READ_ME: Final = """What is in here, and how the node was when it was made:

status.json    how the node is; summary.txt says it in sentences
settings.json  all settings; of the secret ones only whether they are set
log.ndjson     the last lines that the running node wrote down; empty if none ran
journal.txt    what systemd kept of it, on boxes that have it
check.json     what `urbanos-edge check` found; not with --no-check
metrics.txt    its numbers
machine.txt    the machine, the disk and the packages

Passwords, keys and tokens are taken out. Names of sensors, of networks and of hosts are not: look
through it before you send it to somebody you do not know.
"""


@click.command("support-bundle")
@data_dir_option
@click.argument("out", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--no-check", is_flag=True, help="Leave the check of all files out: it may take long."
)
def support_bundle(data_dir: Path, out: Path | None, no_check: bool) -> None:
    """Write a .tar.gz with log, settings, check report and status, for who is to help.

    Secrets are taken out. Without OUT it is named after the node and the time, and lies here.
    """
    made_at = datetime.now(UTC)
    with progress_bar("asking") as tell:
        told = ask(data_dir, "support")
        report = None if no_check else ask(data_dir, "check", on_progress=tell)
    name = f"urbanos-support-{told['status']['node']['id']}-{made_at:%Y%m%dT%H%M%SZ}"
    path = out or Path(f"{name}.tar.gz")
    veil = Veil(load({}, config=default_config(data_dir)))
    files = {
        "summary.txt": _summary(told["status"]["summary"]),
        "status.json": _json(told["status"]),
        "log.ndjson": "".join(f"{line}\n" for line in told["log"]),
        "metrics.txt": told["metrics"],
        "machine.txt": _machine(data_dir),
        "journal.txt": _journal(),
    }
    if report is not None:
        files["check.json"] = _json(report)
    files = {part: veil.over(text) for part, text in files.items()}
    files |= {"README.txt": _READ_ME, "settings.json": _json(told["settings"])}
    _write(path, name, files, made_at)
    click.echo(path)


def _write(path: Path, folder: str, files: dict[str, str], made_at: datetime) -> None:
    """For its owner's eyes only, until they send it to somebody."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
    with open(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as bundle:
        for name, text in files.items():
            content = text.encode()
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime, member.mode = len(content), int(made_at.timestamp()), 0o600
            bundle.addfile(member, io.BytesIO(content))


def _summary(summary: dict[str, Any]) -> str:
    lines = [f"[{one['level']}] {one['text']}" for one in summary["sentences"]]
    return "\n".join([summary["headline"], *lines, ""])


def _machine(data_dir: Path) -> str:
    disk = shutil.disk_usage(data_dir)
    packages = sorted(f"{one.name}=={one.version}" for one in distributions())
    return "\n".join(
        [
            f"urbanos-edge {__version__}, Python {platform.python_version()}",
            f"{platform.platform()}, {os.cpu_count()} cores",
            f"disk: {disk.total:,} bytes, {disk.free:,} free",
            *_first_lines(Path("/proc/meminfo"), 3),
            *_first_lines(Path("/proc/loadavg"), 1),
            *packages,
            "",
        ]
    )


def _first_lines(path: Path, count: int) -> list[str]:
    return path.read_text(encoding="ascii").splitlines()[:count] if path.is_file() else []


def _journal() -> str:
    """The unit's last lines; empty where there is no journal, or none for this user."""
    words = ["journalctl", "--unit", UNIT, "--lines", str(JOURNAL_LINES), "--no-pager", "--quiet"]
    try:
        ended = subprocess.run(
            words, capture_output=True, timeout=JOURNAL_WITHIN_S, text=True, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout


def _json(content: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(content)).decode() + "\n"
