"""What is owed to the centre is brought there, until both have the same.

`link` is what is said to PostgreSQL, `carrier` compares and sends hours, `backlog` says in which
order, `compare` only compares, `sync` says when. Aggregates always; the readings themselves where
`sync_mode` says so.
"""

from __future__ import annotations

from urbanos_edge.sync.sync import Sync

__all__ = ["Sync"]
