"""Ways to spoil a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

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
