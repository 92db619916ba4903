-- The newest reading of every sensor since a moment, as the columns of a batch.
SELECT {stored_row_columns}
FROM read_parquet($files)
WHERE timestamp >= make_timestamptz($since_us)
QUALIFY row_number() OVER (PARTITION BY sensor_id ORDER BY timestamp DESC) = 1
ORDER BY sensor_id
