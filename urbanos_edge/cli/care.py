"""Commands that look after the data: check, backup, restore, compact, expire."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from urbanos_edge import control
from urbanos_edge.backup.restore import find_backup, find_shelf
from urbanos_edge.backup.restore import restore as bring_back
from urbanos_edge.cli.asking import ask, data_dir_option, json_option, progress_bar, show
from urbanos_edge.clock import to_rfc3339


@click.command()
@data_dir_option
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@click.option("--forget-lost", is_flag=True, help="Give up what is set aside and stays lost.")
@json_option
def check(data_dir: Path, repair: bool, forget_lost: bool, as_json: bool) -> None:
    """Look at everything the node holds; exit with 1 and a list when something is wrong.

    With --repair the last 24 hours are counted anew, damaged files set aside, and readings
    brought back from intact files in quarantine/, in the partitions or in the backup.
    """
    # What is set aside here is in the report; without a log it would go to stderr as well.
    logging.getLogger("urbanos_edge.store.store").addHandler(logging.NullHandler())
    with progress_bar("checking") as tell:
        arguments = {"repair": repair, "forget_lost": forget_lost}
        report = ask(data_dir, "check", arguments, tell)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    else:
        _tell_report(report, repair)
    if any(finding["repaired"] is None for finding in report["findings"]):
        sys.exit(1)


@click.command()
@click.argument("out", required=False)
@data_dir_option
@click.option("--keep", type=click.IntRange(min=1), help="Backups to keep there.  [default: 7]")
@click.option("--prove", is_flag=True, help="Restore it to scratch and compare.")
@json_option
def backup(data_dir: Path, out: str | None, keep: int | None, prove: bool, as_json: bool) -> None:
    """Back up to OUT, while the node writes or rests.

    OUT is a directory or s3://bucket/prefix?endpoint=URL; without it, the setting backup_target.
    What an earlier backup brought there is not copied again. Credentials of a bucket come from
    the environment of the process that owns the data: a running node's, else this one's.
    """
    arguments = {"target": out and _absolute(out), "keep": keep, "prove": prove}
    with progress_bar("backing up") as tell:
        made = ask(data_dir, "backup", arguments, tell)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(made)))
        return
    click.echo(
        f"{made['name']}: {made['readings']:,} readings, {made['bytes']:,} bytes;"
        f" {made['copied_files']:,} files with {made['copied_bytes']:,} bytes were new"
        + ("; restored and compared" if prove else "")
    )


@click.command()
@click.argument("source", metavar="IN")
@data_dir_option
@click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path), help="Restore there instead."
)
@click.option("--name", help="Which backup.  [default: the newest]")
@click.option("--node", help="Whose backup, where several nodes have theirs.")
@click.option("--list", "as_list", is_flag=True, help="Only show which backups there are.")
@json_option
def restore(
    source: str,
    data_dir: Path,
    to: Path | None,
    name: str | None,
    node: str | None,
    as_list: bool,
    as_json: bool,
) -> None:
    """Make the data directory what it was when the backup in IN was made.

    No node may run on it. All is compared before anything changes; the old state is kept beside
    under another name. IN is what `backup` was given as OUT.
    """
    if as_list:
        names = find_shelf(_absolute(source), node).names()
        click.echo(msgspec.json.encode(names) if as_json else "\n".join(names))
        return
    shelf, catalogue = find_backup(_absolute(source), node, name)
    directory = to or data_dir
    with control.own(directory), progress_bar("restoring") as tell:
        kept = bring_back(shelf, catalogue, directory, time.time_ns() // 1000, tell)
    result = {
        "name": catalogue.name,
        "made_at": to_rfc3339(catalogue.made_at_us),
        "readings": catalogue.readings + catalogue.waiting,
        "old_state": None if kept is None else str(kept),
    }
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(result)))
        return
    click.echo(f"{result['readings']:,} readings are back as of {result['made_at']}")
    if kept is not None:
        click.echo(f"the old state is kept in {kept}; remove it when all is well")


@click.command()
@data_dir_option
@json_option
def compact(data_dir: Path, as_json: bool) -> None:
    """Merge small files, and sort the days that are over.

    The node does this by itself, with pauses and once a day is quiet; this
    does all of it now.
    """
    with progress_bar("compacting") as tell:
        jobs = ask(data_dir, "compact", on_progress=tell)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(jobs)))
        return
    for job in jobs:
        files = f"{job['files_before']} files became {job['files_after']}"
        size = f"{job['bytes_before']:,} bytes became {job['bytes_after']:,}"
        click.echo(f"{job['day']} {job['kind']:<6} {files}, {size}")
    if not jobs:
        click.echo("nothing was due", err=True)


@click.command()
@data_dir_option
@json_option
@click.option("--dry-run", is_flag=True, help="Only show what would be dropped.")
def expire(data_dir: Path, as_json: bool, dry_run: bool) -> None:
    """Drop the days that are older than `retention_days`.

    A day goes when it and its newest arrival are both older. The node does
    this by itself every hour. What the centre is still to get waits, until
    the disk is almost full; a dry run shows it with the reason.
    """
    dropped = ask(data_dir, "expire", {"dry_run": dry_run})
    show(dropped, ("day", "files", "rows", "bytes", "owed_hours", "waits"), as_json)


def _absolute(address: str) -> str:
    """The node may have another working directory than we."""
    return address if "://" in address else str(Path(address).absolute())


def _tell_report(report: dict[str, Any], repair: bool) -> None:
    for finding in report["findings"]:
        mended = finding["repaired"]
        if mended is None and repair:
            mended = "cannot be mended from what is here"
        line = f"{finding['part']}: {finding['subject']} {finding['message']}"
        click.echo(f"{line} -> {mended}" if mended else line)
    looked = f"{report['files']:,} files with {report['readings']:,} readings"
    looked += f" and {report['waiting']:,} waiting"
    click.echo(f"{looked}: {len(report['findings']) or 'no'} findings")
