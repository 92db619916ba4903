"""The first screen of help: every command in its group, in a few words, two side by side."""

from __future__ import annotations

from importlib import import_module
from itertools import zip_longest
from typing import Final, NamedTuple

import click


class Known(NamedTuple):
    """A command's few words, and the module it stands in where that is not called as it is."""

    words: str
    module: str = ""


GROUPS: Final = {
    "Run it": {
        "serve": Known("run the node"),
        "status": Known("how the node is"),
        "tls": Known("HTTPS, who trusts it"),
        "deploy": Known("new versions, and back"),
    },
    "Sensors and people": {
        "sensor": Known("the registered sensors"),
        "inbox": Known("senders nobody claimed"),
        "token": Known("who may read and write"),
        "audit": Known("who did what, and when"),
        "alert": Known("rules, what is raised"),
        "report": Known("what people smell, see"),
        "pull": Known("what the node fetches"),
    },
    "Readings": {
        "replay": Known("archives, as if now"),
        "import": Known("archives, of any day", "import_"),
        "export": Known("a span as a file"),
        "flags": Known("what was flagged, why"),
        "regrade": Known("indexes anew from raw"),
        "dead-letters": Known("what was refused"),
    },
    "Safekeeping": {
        "backup": Known("copy all to OUT", "care"),
        "restore": Known("what a backup held", "care"),
        "check": Known("find and mend damage", "care"),
        "compact": Known("merge small files", "care"),
        "expire": Known("drop what is too old", "care"),
        "support-bundle": Known("what a helper needs"),
    },
    "Map and centre": {
        "basemap": Known("streets to draw on"),
        "central": Known("gather many nodes"),
        "sync": Known("what the centre lacks"),
    },
}
"""Every command once. A screen has 24 lines: four go to the usage, one to each heading."""
_NAME_WIDTH: Final = 16
_WORDS_WIDTH: Final = 22
"""Of the words beside a name: two commands then fit into 80 columns."""


class GroupedCommands(click.Group):
    """A command line whose help lists its commands by `GROUPS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for commands in GROUPS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of the command that is called.

        Raises:
            NoSuchCommand: there is none; it names those that are spelled much alike.
        """
        for commands in GROUPS.values():
            if cmd_name in commands:
                name = commands[cmd_name].module or cmd_name.replace("-", "_")
                return _command_of(f"urbanos_edge.cli.{name}", cmd_name)
        raise click.NoSuchCommand(cmd_name, possibilities=self.list_commands(ctx), ctx=ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups; there is no room for options beside them, and `--help` is known."""
        formatter.write_paragraph()
        for heading, commands in GROUPS.items():
            formatter.write(f"{heading}:\n")
            cells = [f"{name:{_NAME_WIDTH}}{one.words}" for name, one in commands.items()]
            for left, right in zip_longest(cells[::2], cells[1::2], fillvalue=""):
                formatter.write(f"  {left:{_NAME_WIDTH + _WORDS_WIDTH + 2}}{right}".rstrip() + "\n")


def _command_of(module: str, name: str) -> click.Command:
    found: click.Command = next(
        one
        for one in vars(import_module(module)).values()
        if isinstance(one, click.Command) and one.name == name
    )
    return found
