-- Per sensor, place and hour: what the aggregates of the window need. Flagged readings stay out.
SELECT
    sensor_id,
    lng,
    lat,
    epoch_us(timestamp) // 3600000000 AS hour,
    count(*) FILTER (flags = '') AS readings,
    count(aqi_value) FILTER (flags = '') AS graded,
    coalesce(sum(aqi_value) FILTER (flags = ''), 0)::BIGINT AS aqi_sum,
    coalesce(max(aqi_value) FILTER (flags = ''), -1)::BIGINT AS aqi_max,
    epoch_us(max(timestamp)) AS last_at_us
FROM read_parquet($files)
WHERE timestamp >= make_timestamptz($since_us)
    AND ($sensors IS NULL OR list_contains($sensors, sensor_id))
GROUP BY ALL
ORDER BY last_at_us
