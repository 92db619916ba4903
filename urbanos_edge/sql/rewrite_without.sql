-- A stored file without the rows that revisions replace, in the order it has.
COPY (
    SELECT kept.*
    FROM read_parquet({source}) AS kept
    ANTI JOIN revised
        ON kept.sensor_id = revised.sensor_id AND kept.timestamp = make_timestamptz(revised.timestamp_us)
    ORDER BY kept.sensor_id, kept.timestamp
) TO {target} (FORMAT parquet, COMPRESSION zstd, GEOPARQUET_VERSION 'BOTH')
