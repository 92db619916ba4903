"""Readers of air-quality archives: files of many readings, as others publish them.

Every reader streams: it holds one row at a time, whatever the size of the file, and answers for
every row with either a reading in the shape `POST /api/v1/data/ingest` takes, or the reason why
there is none.
"""

from urbanos_edge.archives.archive import FORMATS, Archive, ArchiveOptions, open_archive
from urbanos_edge.archives.rows import REASONS, ArchiveError, MapError, Rejected, Row

__all__ = [
    "FORMATS",
    "REASONS",
    "Archive",
    "ArchiveError",
    "ArchiveOptions",
    "MapError",
    "Rejected",
    "Row",
    "open_archive",
]
