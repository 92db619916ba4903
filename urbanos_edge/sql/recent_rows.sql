-- The stored rows of a span.
CREATE OR REPLACE TEMP TABLE recent_rows AS
SELECT {stored_row_columns}
FROM read_parquet($files)
WHERE timestamp >= make_timestamptz($from_us) AND timestamp < make_timestamptz($until_us)
