-- The last readings of `heard_sensors`, as the columns of a batch, by sensor and time. Of up to 1,000
-- with something unchanged there is one reading in ten minutes of the day before these, too.
WITH kept AS (
    SELECT stored.*
    FROM (
        FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME {later_columns}
    ) AS stored
    JOIN heard_sensors USING (sensor_id)
    WHERE timestamp >= make_timestamptz($since_us) AND timestamp >= last_from
    UNION ALL BY NAME
    SELECT earlier.*
    FROM (
        FROM read_parquet($day_files, union_by_name = true) UNION ALL BY NAME {later_columns}
    ) AS earlier
    JOIN (FROM heard_sensors WHERE is_unchanged LIMIT 1000) USING (sensor_id)
    WHERE timestamp >= make_timestamptz($day_since_us) AND timestamp < last_from
    QUALIFY row_number() OVER (
        PARTITION BY sensor_id, epoch_us(timestamp) // 600_000_000 ORDER BY timestamp
    ) = 1
)
SELECT {stored_row_columns}
FROM kept
WHERE NOT contains(flags, 'clock')
ORDER BY sensor_id, timestamp
