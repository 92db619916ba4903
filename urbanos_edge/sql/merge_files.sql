-- The rows of files whose Hilbert value is above `after` and not above `upto`, sorted: what is
-- near on the ground is near in the file, and a sensor's rows follow one another in time.
COPY (
    SELECT * EXCLUDE (hilbert)
    FROM (
        SELECT
            *,
            ST_Hilbert(
                lng,
                lat,
                {'min_x': $min_lng, 'min_y': $min_lat, 'max_x': $max_lng, 'max_y': $max_lat}::BOX_2D
            )::BIGINT AS hilbert
        FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
    )
    WHERE hilbert > $after AND hilbert <= $upto
    ORDER BY hilbert, sensor_id, timestamp
) TO {target} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880, GEOPARQUET_VERSION 'BOTH')
