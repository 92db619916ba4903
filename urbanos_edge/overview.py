"""The first screen of help: every command in its group, in a few words, two side by side."""

from __future__ import annotations

from itertools import zip_longest
from typing import Final

import click

GROUPS: Final = {
    "Run it": {
        "serve": "run the node",
        "status": "how the node is",
        "tls": "HTTPS, who trusts it",
        "deploy": "new versions, and back",
    },
    "Sensors and people": {
        "sensor": "the registered sensors",
        "inbox": "senders nobody claimed",
        "token": "who may read and write",
        "audit": "who did what, and when",
        "alert": "rules, what is raised",
        "report": "what people smell, see",
        "pull": "what the node fetches",
    },
    "Readings": {
        "replay": "archives, as if now",
        "import": "archives, of any day",
        "export": "a span as a file",
        "flags": "what was flagged, why",
        "regrade": "indexes anew from raw",
        "dead-letters": "what was refused",
    },
    "Safekeeping": {
        "backup": "copy all to OUT",
        "restore": "what a backup held",
        "check": "find and mend damage",
        "compact": "merge small files",
        "expire": "drop what is too old",
        "support-bundle": "what a helper needs",
    },
    "Map and centre": {
        "basemap": "streets to draw on",
        "central": "gather many nodes",
        "sync": "what the centre lacks",
    },
}
"""Every command once. A screen has 24 lines: four go to the usage, one to each heading."""
_NAME_WIDTH: Final = 16
_WORDS_WIDTH: Final = 22
"""Of the words beside a name: two commands then fit into 80 columns."""


class GroupedCommands(click.Group):
    """A command line whose help lists its commands by `GROUPS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups; there is no room for options beside them, and `--help` is known."""
        formatter.write_paragraph()
        for heading, commands in GROUPS.items():
            formatter.write(f"{heading}:\n")
            cells = [f"{name:{_NAME_WIDTH}}{words}" for name, words in commands.items()]
            for left, right in zip_longest(cells[::2], cells[1::2], fillvalue=""):
                formatter.write(f"  {left:{_NAME_WIDTH + _WORDS_WIDTH + 2}}{right}".rstrip() + "\n")
