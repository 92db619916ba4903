-- The identities of a file that stand in other files, too, as `rewrite_without` wants them.
SELECT sensor_id, epoch_us(timestamp) AS timestamp_us
FROM read_parquet($source)
WHERE (sensor_id, timestamp) IN (SELECT (sensor_id, timestamp) FROM read_parquet($files))
