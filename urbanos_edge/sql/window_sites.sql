-- Per sensor, cell and hour of the view `hourly`: what the window in memory needs.
SELECT
    sensor_id,
    hour,
    x18,
    y18,
    lng,
    lat,
    last_at_us,
    readings,
    aqi_count AS graded,
    coalesce(aqi_sum::HUGEINT // 10000, 0)::BIGINT AS aqi_sum,
    coalesce(aqi_max // 10000, -1) AS aqi_max
FROM hourly
WHERE $sensors IS NULL OR list_contains($sensors, sensor_id)
ORDER BY last_at_us
