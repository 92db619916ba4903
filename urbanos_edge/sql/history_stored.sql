-- Readings of one sensor in a span, from files.
SELECT
    epoch_us(timestamp) AS timestamp_us,
    flags,
    aqi_value::BIGINT AS aqi,
    {quantity}
FROM (FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME {later_columns})
WHERE sensor_id = $sensor_id
    AND timestamp >= make_timestamptz($from_us) AND timestamp < make_timestamptz($until_us)
