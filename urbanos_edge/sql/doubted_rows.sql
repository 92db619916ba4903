-- Rows stamped by a clock in doubt, as the columns of a batch, with the file that holds each.
SELECT filename, {stored_row_columns}
FROM (
    FROM read_parquet($files, filename = true, union_by_name = true) UNION ALL BY NAME {later_columns}
)
WHERE received_at BETWEEN make_timestamptz($since_us) AND make_timestamptz($until_us)
    AND list_contains(string_split(flags, ','), 'clock')
