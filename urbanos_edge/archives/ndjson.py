"""One JSON object a line: readings as the node takes them, flat objects, or features of GeoJSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final

import msgspec

from urbanos_edge.archives.records import Records, flatten
from urbanos_edge.archives.rows import ArchiveError, Refused, Rejected, Row

FEATURE: Final = re.compile(rb'"type"\s*:\s*"Feature(?:Collection)?"')
"""By the beginning of a file: GeoJSON."""
_HEAD: Final = re.compile(rb'\{?\s*"(?:type"\s*:\s*"FeatureCollection|name|crs|features)"')
"""By the beginning of a line: a part of what is around the features."""


class ObjectReader:
    """Reads JSON objects, each by its own keys."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def rows(self, stream: BinaryIO, after: int) -> Iterator[Row | Rejected]:
        """Yield what each line after line `after` says; empty lines are nothing."""
        for number, line in enumerate(stream, start=1):
            if number <= after or not (text := self._text(line)):
                continue
            try:
                ingest = self._records.read(self._fields(text))
            except Refused as refused:
                yield Rejected(number, refused.reason)
            else:
                yield Row(number, ingest["timestamp"], ingest)

    def keys(self, lines: Iterable[bytes]) -> list[str]:
        """Return the columns that occur in these lines, in order."""
        names: dict[str, None] = {}
        for text in filter(None, map(self._text, lines)):
            try:
                names |= dict.fromkeys(flatten(self._fields(text)))
            except Refused:
                continue
        return list(names)

    def _text(self, line: bytes) -> bytes:
        """What is to be read of a line."""
        return line.strip()

    def _fields(self, text: bytes) -> dict[str, Any]:
        try:
            fields = msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise Refused("unreadable_row") from None
        if not isinstance(fields, dict):
            raise Refused("unreadable_row")
        return fields


class FeatureReader(ObjectReader):
    """Reads features of GeoJSON, one a line, by their properties; a point says where.

    What is around them, as in a FeatureCollection, is nothing.
    """

    def keys(self, lines: Iterable[bytes]) -> list[str]:
        """The same.

        Raises:
            ArchiveError: the features are not on lines of their own.
        """
        names = super().keys(lines)
        if not names:
            raise ArchiveError(
                "no feature has a line of its own; make it NDJSON: jq -c '.features[]'"
            )
        return names

    def _text(self, line: bytes) -> bytes:
        text = line.strip().removesuffix(b",")
        return b"" if len(text) < 2 or text[:1] == b"]" or _HEAD.match(text) else text

    def _fields(self, text: bytes) -> dict[str, Any]:
        feature = super()._fields(text)
        properties, geometry = feature.get("properties"), feature.get("geometry")
        if not isinstance(properties, dict):
            raise Refused("unreadable_row")
        if isinstance(geometry, dict) and geometry.get("type") == "Point":
            degrees = geometry.get("coordinates")
            if isinstance(degrees, list) and len(degrees) >= 2:
                return {"lat": degrees[1], "lng": degrees[0], **properties}
        return properties
