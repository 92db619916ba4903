"""Commands about what the node fetches by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from urbanos_edge.cli.asking import ask, data_dir_option, json_option, show
from urbanos_edge.errors import EdgeError

_FIELDS: Final = (
    *("name", "kind", "host", "every_s", "succeeded_at_us", "next_at_us"),
    *("accepted", "held", "refused", "failures", "failure"),
)


class NotFetched(EdgeError):
    """A source that was asked at once failed; what is shown says why."""

    status = 502
    code = "not_fetched"


@click.group()
def pull() -> None:
    """What the node fetches on a schedule; `[[pull]]` in urbanos.toml."""


@pull.command("list")
@data_dir_option
@json_option
def list_pulls(data_dir: Path, as_json: bool) -> None:
    """Show every source: when it was fetched, and what is wrong.

    Below those of the settings are the monitors found by mDNS. Readings that
    were accepted, held in the inbox or refused are counted since the start,
    failures in a row.
    """
    show(ask(data_dir, "pulls"), _FIELDS, as_json)


@pull.command("now")
@data_dir_option
@json_option
@click.argument("name", required=False)
def pull_now(data_dir: Path, as_json: bool, name: str | None) -> None:
    """Fetch NAME, or all of the settings, without waiting for their turn.

    Exits with 1 when one of them failed.
    """
    found: Sequence[Mapping[str, Any]] = ask(data_dir, "pull_now", {"name": name})
    show(found, _FIELDS, as_json)
    failed = [f"{one['name']}: {one['failure']}" for one in found if one["failure"]]
    if failed:
        raise NotFetched("; ".join(failed))
