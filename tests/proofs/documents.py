"""What docs/operations.md tells people to type, as it stands there."""

from __future__ import annotations

import re
import shlex
from typing import Final

from tests.proofs.trees import ROOT

_PAGE: Final = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
_EDITED: Final = re.compile(r"`systemctl edit (\S+?)`(?:(?!```).)*?```ini\n(.*?)```", re.DOTALL)


def commands_in(container: str) -> list[list[str]]:
    """Commands that are given in a container of that name."""
    return [
        shlex.split(line) for line in re.findall(rf"^podman exec {container} (.+)$", _PAGE, re.M)
    ]


def drop_ins(heading: str) -> list[tuple[str, str]]:
    """Units, each with what `systemctl edit` is to add to it, of the section with that heading."""
    section = re.split(r"^#+ ", _PAGE.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.M)[0]
    return _EDITED.findall(section)
