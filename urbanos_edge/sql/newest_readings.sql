-- The readings at the moments in `newest`, as the columns of a batch.
SELECT {stored_row_columns}
FROM (
    FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME {later_columns}
)
SEMI JOIN (
    SELECT sensor_id, make_timestamptz(last_at_us) AS timestamp FROM newest
) USING (sensor_id, timestamp)
