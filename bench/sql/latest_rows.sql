-- The newest row of each sensor in some files, as CSV columns of live.latest.
COPY (
    SELECT
        r.sensor_id,
        r.sensor_id,
        r.aqi_value,
        r.level,
        epoch(r.timestamp)::BIGINT,
        r.flags,
        r.source,
        p.mercator
    FROM (
        SELECT sensor_id, max_by(COLUMNS(['aqi_value', 'level', 'flags', 'source']), timestamp),
            max(timestamp) AS timestamp
        FROM read_parquet($files)
        GROUP BY sensor_id
    ) AS r
    JOIN places AS p ON p.id = r.sensor_id
) TO {target} (FORMAT csv, HEADER false)
