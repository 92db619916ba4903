-- Aggregates of the view `hourly` as they are kept: what is near in the file is one sensor's.
COPY (
    SELECT * REPLACE (is_final OR $is_final AS is_final)
    FROM hourly
    ORDER BY sensor_id, hour, x18, y18
) TO {target} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 24576)
