-- The stored rows of a span.
CREATE OR REPLACE TEMP TABLE recent_rows AS
SELECT {stored_row_columns}
FROM (
    FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME {later_columns}
)
WHERE timestamp >= make_timestamptz($from_us) AND timestamp < make_timestamptz($until_us)
