"""Writes docs/settings.md from the table of settings: python -m scripts.settings_page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from urbanos_edge.feeds import Feed
from urbanos_edge.settings import Settings

PAGE: Final = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """# Settings

Given as flags of `urbanos-edge serve` where it has them, in the environment as `URBANOS_<NAME>`,
or in `urbanos.toml` (in the data directory, or named by `--config`). Flags win over the
environment, the environment over the file, the file over the defaults. They are read at the start:
after a change, `systemctl restart urbanos-edge`. An unknown name or an impossible value stops the
start with a line that names it.

| name | default | bounds | what it does |
| --- | --- | --- | --- |
"""
_SIGNS: Final = {">": "gt", "≥": "ge", "<": "lt", "≤": "le"}
FEEDS = """
## What is fetched

The names in a table `[[pull]]`; [sensors](sensors.md#fetching) tells of each kind, with examples.

| name | default | bounds | what it is |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The page's whole text."""
    return HEAD + _rows(Settings) + FEEDS + _rows(Feed)


def _rows(table: type[msgspec.Struct]) -> str:
    return "".join(_row(field) for field in msgspec.structs.fields(table))


def _row(field: msgspec.structs.FieldInfo) -> str:
    default = f"`{msgspec.json.encode(field.default).decode()}`" if not field.required else "none"
    metadata = msgspec.inspect.type_info(field.type)
    return f"| `{field.name}` | {default} | {_bounds(metadata)} | {_description(metadata)} |\n"


def _bounds(kind: object) -> str:
    """Of a number, also of one that may be null."""
    inner = getattr(kind, "type", kind)
    kinds = inner.types if isinstance(inner, msgspec.inspect.UnionType) else (inner,)
    found = [
        f"{sign} {bound:,}"
        for one in kinds
        for sign, name in _SIGNS.items()
        if (bound := getattr(one, name, None)) is not None
    ]
    return ", ".join(found)


def _description(kind: object) -> str:
    extra = getattr(kind, "extra_json_schema", None) or {}
    return str(extra.get("description", ""))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
