"""The commands `urbanos-edge audit …`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
import msgspec

from urbanos_edge.cli.asking import ask, data_dir_option, json_option, show
from urbanos_edge.clock import to_rfc3339

PAGE: Final = 1000
_FIELDS: Final = ("id", "at", "who", "token_id", "address", "act", "details")


@click.group()
def audit() -> None:
    """What was done to the node, by whom, and when."""


@audit.command("list")
@data_dir_option
@json_option
@click.option("--limit", type=click.IntRange(1, PAGE), default=100, show_default=True)
def list_lines(data_dir: Path, as_json: bool, limit: int) -> None:
    """Show the newest administrative acts."""
    found = ask(data_dir, "audit", {"limit": limit})
    if not as_json:
        found = [line | {"details": _text(line["details"])} for line in found]
    show(found, ("id", "at_us", "who", "address", "act", "details"), as_json)


@audit.command("export")
@data_dir_option
@click.argument("out", type=click.File("wb"))
@click.option(
    "--format", "kind", type=click.Choice(["ndjson", "csv"]), default="ndjson", show_default=True
)
def export_lines(data_dir: Path, out: BinaryIO, kind: str) -> None:
    """Write all of the log to OUT (- for stdout), the newest act first."""
    write = _write_csv if kind == "csv" else _write_ndjson
    write(out, _lines(data_dir))


def _lines(data_dir: Path) -> Iterator[dict[str, Any]]:
    """All lines, page by page."""
    before = None
    while found := ask(data_dir, "audit", {"limit": PAGE, "before": before}):
        for line in found:
            yield {"id": line["id"], "at": to_rfc3339(line.pop("at_us")), **line}
        before = found[-1]["id"]


def _write_ndjson(out: BinaryIO, lines: Iterator[Mapping[str, Any]]) -> None:
    for line in lines:
        out.write(msgspec.json.encode(line) + b"\n")


def _write_csv(out: BinaryIO, lines: Iterator[Mapping[str, Any]]) -> None:
    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    rows = csv.DictWriter(text, _FIELDS)
    rows.writeheader()
    for line in lines:
        rows.writerow({**line, "details": _text(line["details"])})
    text.detach()  # `out` is closed by who opened it


def _text(details: Any) -> str:
    return "" if details is None else msgspec.json.encode(details).decode()
