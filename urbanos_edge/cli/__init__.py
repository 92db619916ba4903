"""The command line. Every command works on a data directory, whether its node runs or not.

A module here is one command or one group of them; `overview` says which. It is imported when its
command is called: what a node needs to serve is no wait for who only asks it something.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from urbanos_edge import __version__
from urbanos_edge.cli.overview import GroupedCommands
from urbanos_edge.errors import EdgeError


class OneLineErrors(GroupedCommands):
    """Shows the node's own errors as one line and exits with 1."""

    def main(self, *args: Any, **more: Any) -> Any:
        try:
            sys.exit(super().main(*args, **more | {"standalone_mode": False}))
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            click.echo(f"urbanos-edge: {_said(error)}", err=True)
            sys.exit(error.exit_code)
        except EdgeError as error:
            click.echo(f"urbanos-edge: {error.message}", err=True)
            sys.exit(1)
        except click.Abort:
            sys.exit(1)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="urbanos-edge", hidden=True)
def main() -> None:
    """A city's air-quality network in one box; COMMAND --help tells more."""


def _said(error: click.ClickException) -> str:
    """What is wrong in one line, and for wrong usage what the right one is, or where it is told."""
    text = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None and not text.endswith("?"):
        return f"{text.rstrip('.')}; see '{error.ctx.command_path} --help'"
    return text
