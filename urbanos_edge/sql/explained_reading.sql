-- The last stored reading of a sensor in a span, with all that is stored of it; moments as numbers.
SELECT * EXCLUDE (geometry) REPLACE (
    epoch_us(timestamp) AS timestamp,
    epoch_us(received_at) AS received_at,
    epoch_us(stored_at) AS stored_at
)
FROM (
    FROM read_parquet($files, union_by_name = true, hive_partitioning = false)
    UNION ALL BY NAME {later_columns}
)
WHERE sensor_id = $sensor_id
    AND timestamp BETWEEN make_timestamptz($from_us) AND make_timestamptz($until_us)
ORDER BY timestamp DESC
LIMIT 1
