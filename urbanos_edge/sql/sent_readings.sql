-- Stored readings of consecutive hours with the id that is derived from a reading's identity: UUIDv5
-- (RFC 9562) of `sensor_id/timestamp_us`, as `reading.reading_id` makes it.
SELECT
    *,
    concat_ws(
        '-',
        hashed[1:8],
        hashed[9:12],
        '5' || hashed[14:16],
        '89ab'[(instr('0123456789abcdef', hashed[17]) - 1) % 4 + 1] || hashed[18:20],
        hashed[21:32]
    ) AS id
FROM (
    SELECT
        *,
        epoch_us(timestamp) AS timestamp_us,
        sha1(unhex($namespace) || encode(sensor_id || '/' || epoch_us(timestamp))) AS hashed
    FROM (
        FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
        UNION ALL BY NAME {later_columns}
    )
    WHERE timestamp >= make_timestamptz($since_us) AND timestamp < make_timestamptz($until_us)
)
