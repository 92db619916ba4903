"""How far a replay has come, kept so that the same command can go on."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from urbanos_edge.replay.node import NodeCounts

Position = tuple[int, int]
"""The last row that is settled: index of its file, and its line there."""
START: Position = (0, 0)


class Tally(msgspec.Struct):
    """What became of the rows of a replay, up to its position.

    `accepted` includes the `duplicates` the node named in its answers, and those `beyond` its
    retention where it counts them; `held` waits in its inbox, for want of a place, as far as that
    has room. `first` names the file and line of the first row rejected for each reason.
    """

    rows: int = 0
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    held: int = 0
    beyond: int = 0
    rejected: dict[str, int] = {}
    first: dict[str, str] = {}

    def reject(self, reason: str, where: str) -> None:
        """Count one row that became no reading."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self.first.setdefault(reason, where)


class State(msgspec.Struct):
    """One replay: where it stands, and what it must not decide anew when it goes on."""

    shift_s: int = 0
    before: NodeCounts | None = None
    position: Position = START
    tally: Tally = msgspec.field(default_factory=Tally)


class StateFile:
    """The state of one replay on the disk, in a folder of its own user."""

    def __init__(self, folder: Path, identity: object) -> None:
        digest = hashlib.sha256(msgspec.json.encode(identity)).hexdigest()
        self.path = folder / f"{digest[:20]}.json"

    def load(self) -> State | None:
        """Return the state; None when there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=State)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def save(self, state: State) -> None:
        """Replace the state on the disk, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(f".{os.getpid()}.tmp")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def remove(self) -> None:
        """Forget the replay."""
        self.path.unlink(missing_ok=True)
