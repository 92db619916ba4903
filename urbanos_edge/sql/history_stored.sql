-- Readings of one sensor in a span, from files.
SELECT
    epoch_us(timestamp) AS timestamp_us,
    flags,
    aqi_value::BIGINT AS aqi,
    pm1,
    pm25,
    pm10,
    o3,
    no2,
    so2,
    co,
    temperature,
    humidity,
    pressure
FROM read_parquet($files)
WHERE sensor_id = $sensor_id
    AND timestamp >= make_timestamptz($from_us) AND timestamp < make_timestamptz($until_us)
