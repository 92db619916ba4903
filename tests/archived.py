"""Small archives, and what is read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from urbanos_edge.archives import Archive, ArchiveOptions, Rejected, Row, open_archive


def written(tmp_path: Path, text: str, name: str = "archive.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def opened(path: Path, column_map: str = "", **options: Any) -> Archive:
    return open_archive(path, ArchiveOptions(column_map=column_map, **options))


def readings(archive: Archive) -> list[dict[str, Any]]:
    return [row.ingest for row in archive.rows() if isinstance(row, Row)]


def only_values(tmp_path: Path, header: str, cells: str, column_map: str = "") -> dict[str, float]:
    text = f"sensor_id,timestamp,{header}\ns,2024-01-01T00:00:00Z,{cells}\n"
    (reading,) = readings(opened(written(tmp_path, text), column_map))
    values: dict[str, float] = reading["values"]
    return values


def rejections(archive: Archive) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in archive.rows() if isinstance(row, Rejected)]
