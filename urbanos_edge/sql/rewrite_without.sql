-- A stored file without the rows that revisions replace, in the order it has.
COPY (
    SELECT kept.* EXCLUDE (file_row_number)
    FROM read_parquet({source}, hive_partitioning = false, file_row_number = true) AS kept
    ANTI JOIN revised
        ON kept.sensor_id = revised.sensor_id AND kept.timestamp = make_timestamptz(revised.timestamp_us)
    ORDER BY kept.file_row_number
) TO {target} (FORMAT parquet, COMPRESSION zstd, GEOPARQUET_VERSION 'BOTH')
