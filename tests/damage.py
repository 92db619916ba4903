"""Ways to spoil a file, and what becomes of one that was set aside."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import anyio

from urbanos_edge.backup.check import forget_lost
from urbanos_edge.node import Node
from urbanos_edge.progress import ignore_progress
from urbanos_edge.store.store import QUARANTINE
from urbanos_edge.upkeep.upkeep import check

WAYS: Final = ("flipped", "cut", "emptied", "deleted", "overwritten")


def spoil(path: Path, way: str) -> None:
    """Do to a file what disks, people and power cuts do."""
    content = path.read_bytes()
    match way:
        case "flipped":
            # In the middle of the first column's pages: most such bits are read without an error.
            changed = bytearray(content)
            changed[len(content) // 8] ^= 4
            path.write_bytes(changed)
        case "cut":
            path.write_bytes(content[:-100])
        case "emptied":
            path.write_bytes(b"")
        case "deleted":
            path.unlink()
        case "overwritten":
            path.write_bytes(b"\0" * len(content))


def settle_loss(node: Node, path: Path, content: bytes | None) -> None:
    """Mend the store with the content of the file that was set aside; give it up without."""
    if content is None:
        forget_lost(node.store, node.database, node.clock.now_us())
        return
    (node.data_dir / QUARANTINE / path.name).write_bytes(content)
    anyio.run(partial(check, node, repair=True, tell=ignore_progress))
