-- The sensors heard since $since_us: from when their last twelve readings are, and whether something
-- that they measure stayed the same since.
CREATE OR REPLACE TEMP TABLE heard_sensors AS
SELECT
    sensor_id,
    list_min(max(timestamp, 12)) AS last_from,
    coalesce(
        min(pm1) = max(pm1)
        OR min(pm25) = max(pm25)
        OR min(pm10) = max(pm10)
        OR min(o3) = max(o3)
        OR min(no2) = max(no2)
        OR min(so2) = max(so2)
        OR min(co) = max(co)
        OR min(temperature) = max(temperature)
        OR min(humidity) = max(humidity)
        OR min(pressure) = max(pressure),
        false
    ) AS is_unchanged
FROM read_parquet($files)
WHERE timestamp >= make_timestamptz($since_us) AND NOT contains(flags, 'clock')
GROUP BY sensor_id
