-- The readings at the moments in `newest`, as the columns of a batch.
SELECT {stored_row_columns}
FROM read_parquet($files)
SEMI JOIN (
    SELECT sensor_id, make_timestamptz(last_at_us) AS timestamp FROM newest
) USING (sensor_id, timestamp)
