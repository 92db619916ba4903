-- The sensors heard since $since_us: from when their last twelve readings are, and whether something
-- that they say stayed the same since.
CREATE OR REPLACE TEMP TABLE heard_sensors AS
SELECT
    sensor_id,
    list_min(max(timestamp, 12)) AS last_from,
    coalesce(
        min(coalesce(pm1_raw, pm1)) = max(coalesce(pm1_raw, pm1))
        OR min(coalesce(pm25_raw, pm25)) = max(coalesce(pm25_raw, pm25))
        OR min(coalesce(pm10_raw, pm10)) = max(coalesce(pm10_raw, pm10))
        OR min(coalesce(o3_raw, o3)) = max(coalesce(o3_raw, o3))
        OR min(coalesce(no2_raw, no2)) = max(coalesce(no2_raw, no2))
        OR min(coalesce(so2_raw, so2)) = max(coalesce(so2_raw, so2))
        OR min(coalesce(co_raw, co)) = max(coalesce(co_raw, co))
        OR min(coalesce(temperature_raw, temperature)) = max(coalesce(temperature_raw, temperature))
        OR min(coalesce(humidity_raw, humidity)) = max(coalesce(humidity_raw, humidity))
        OR min(coalesce(pressure_raw, pressure)) = max(coalesce(pressure_raw, pressure)),
        false
    ) AS is_unchanged
FROM (FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME {later_columns})
WHERE timestamp >= make_timestamptz($since_us) AND NOT contains(flags, 'clock')
GROUP BY sensor_id
