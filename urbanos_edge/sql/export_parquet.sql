-- Readings, as they are stored or in other columns. Groups of half the usual size take half the memory; zstd costs the
-- time that snappy does.
COPY (FROM {rows}) TO {target} (
    FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 61440, GEOPARQUET_VERSION 'BOTH'
)
