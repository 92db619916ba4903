"""One archive file: what it is, what its columns are, and its rows."""

from __future__ import annotations

import gzip
import io
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol, cast

import msgspec

from urbanos_edge.archives.columns import Source, assign, check_map, parse_map, split_header
from urbanos_edge.archives.delimited import SENSOR_COMMUNITY_HEADER, CellReader, TableReader
from urbanos_edge.archives.ndjson import FEATURE, FeatureReader, ObjectReader
from urbanos_edge.archives.parquet import MAGIC, ParquetReader
from urbanos_edge.archives.records import OPENAQ, OWN, Records
from urbanos_edge.archives.rows import ArchiveError, MapError, Rejected, Row, Stations
from urbanos_edge.archives.stations import read_stations
from urbanos_edge.names import NAMES, SENSOR_COMMUNITY_NAMES

Format = Literal["sensor-community", "csv", "ndjson", "geojson", "parquet"]
FORMATS: Final = ("auto", "sensor-community", "csv", "ndjson", "geojson", "parquet")

_SAMPLE_BYTES: Final = 1 << 16
_HEAD_BYTES: Final = 400
"""In which GeoJSON says what it is."""
_BUFFER_BYTES: Final = 1 << 18
_GZIP: Final = b"\x1f\x8b"
_PACKED: Final = {b"PK": "zip", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zX": "xz"}


class ArchiveOptions(msgspec.Struct, frozen=True):
    """How to read an archive.

    `column_map` is a map of columns as `columns.parse_map` reads it; `stations` a file with the
    places of sensors whose rows have none.
    """

    format: str = "auto"
    column_map: str = ""
    stations: Path | None = None


class Archive:
    """A file of readings, text gzipped or not.

    `describe` says which column is read as what, in which unit.
    """

    def __init__(self, path: Path, format_: Format, reader: _Reader, describe: str) -> None:
        self.path = path
        self.format = format_
        self.describe = describe
        self.size_bytes = path.stat().st_size
        self._reader = reader
        self._file: BinaryIO | None = None

    @property
    def bytes_read(self) -> int:
        """How much of the file, as it lies on the disk, `rows` has gone through."""
        return self._file.tell() if self._file is not None and not self._file.closed else 0

    def rows(self, after: int = 0) -> Iterator[Row | Rejected]:
        """Yield every row after line `after`, in the order of the file.

        Raises:
            ArchiveError: the file is damaged or is not text; what came before it is good.
        """
        line = after
        with self.path.open("rb") as file, _unpacked(file) as stream:
            self._file = file
            try:
                for row in self._reader.rows(stream, after):
                    line = row.line
                    yield row
            except (EOFError, OSError, zlib.error) as error:
                raise ArchiveError(
                    f"{self.path.name} is damaged after line {line:,} ({error}); fetch it again"
                ) from error
            except UnicodeDecodeError as error:
                raise ArchiveError(
                    f"{self.path.name} is not UTF-8 after line {line:,}; convert it with iconv"
                ) from error


def open_archive(path: Path, options: ArchiveOptions) -> Archive:
    """Look at the beginning of a file and settle what its columns are.

    Raises:
        ArchiveError: the file cannot be read or is in no format we know.
        MapError: the map or the columns do not fit.
    """
    chosen = parse_map(options.column_map)
    stations = read_stations(options.stations) if options.stations else {}
    sample = _sample(path)
    format_ = _format(sample, options.format, path.name)
    try:
        reader, describe = _reader(format_, path, sample, chosen, stations)
    except MapError as error:
        raise MapError(f"{path.name}: {error.message}") from error
    return Archive(path, format_, reader, describe)


class _Reader(Protocol):
    def rows(self, stream: BinaryIO, after: int) -> Iterator[Row | Rejected]: ...


def _reader(
    format_: Format,
    path: Path,
    sample: list[bytes],
    chosen: Mapping[str, Source],
    stations: Stations,
) -> tuple[_Reader, str]:
    """The reader of a file, and in words what it reads."""
    records = Records(chosen, stations)
    if format_ == "parquet":
        table = ParquetReader(path, records)
        return table, records.describe(table.names)
    if format_ in ("ndjson", "geojson"):
        objects = (FeatureReader if format_ == "geojson" else ObjectReader)(records)
        return objects, records.describe(objects.keys(sample))
    header, delimiter = split_header(_text(sample[0]))
    if set(header) >= OPENAQ or (set(header) >= OWN and not chosen):
        return TableReader(header, records, delimiter), records.describe(header)
    check_map(chosen, header)
    known = SENSOR_COMMUNITY_NAMES if format_ == "sensor-community" else NAMES
    columns = assign(header, chosen, known)
    return CellReader(header, columns, stations, delimiter), columns.describe()


def _format(sample: list[bytes], wanted: str, name: str) -> Format:
    beginning = sample[0].removeprefix(BOM_UTF8).lstrip()
    if wanted != "auto":
        return cast(Format, wanted)
    if beginning.startswith(MAGIC):
        return "parquet"
    if beginning.startswith(b"{"):
        return "geojson" if FEATURE.search(b"".join(sample[:5])[:_HEAD_BYTES]) else "ndjson"
    if beginning.startswith(b"["):
        raise ArchiveError(f"{name} is one JSON array; make it NDJSON: jq -c '.[]' {name}")
    try:
        header, _ = split_header(_text(sample[0]))
    except UnicodeDecodeError as error:
        packed = next((kind for magic, kind in _PACKED.items() if sample[0].startswith(magic)), "")
        what = f"packed with {packed}; unpack it" if packed else "not UTF-8; convert it with iconv"
        raise ArchiveError(f"{name} is {what} first") from error
    return "sensor-community" if set(header) >= SENSOR_COMMUNITY_HEADER else "csv"


def _text(line: bytes) -> str:
    return line.decode("utf-8-sig")


def _sample(path: Path) -> list[bytes]:
    """Return the first whole lines; of a damaged file, those that can be read."""
    try:
        with path.open("rb") as file:
            beginning = file.read(_SAMPLE_BYTES)
        if beginning.startswith(_GZIP):
            beginning = zlib.decompressobj(31).decompress(beginning, _SAMPLE_BYTES)
    except (OSError, zlib.error) as error:
        raise ArchiveError(f"cannot read {path}: {error}") from error
    lines = beginning.splitlines()
    if not any(line.strip() for line in lines):
        raise ArchiveError(f"{path.name} is empty")
    whole = len(beginning) < _SAMPLE_BYTES or len(lines) == 1
    return lines if whole else lines[:-1]


def _unpacked(file: BinaryIO) -> BinaryIO:
    packed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    if not packed:
        return file
    return cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=file), _BUFFER_BYTES))
