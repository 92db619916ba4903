-- Rows stamped by a clock in doubt, as the columns of a batch, with the file that holds each.
SELECT filename, {stored_row_columns}
FROM read_parquet($files, filename = true)
WHERE received_at BETWEEN make_timestamptz($since_us) AND make_timestamptz($until_us)
    AND list_contains(string_split(flags, ','), 'clock')
