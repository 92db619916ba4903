-- The newest reading of every sensor since a moment, as the columns of a batch.
SELECT
    sensor_id,
    epoch_us(timestamp) AS timestamp_us,
    epoch_us(received_at) AS received_us,
    lng,
    lat,
    source,
    pollution_type,
    flags,
    coalesce(reported_aqi, 'nan'::DOUBLE) AS reported_aqi,
    coalesce(pm1, 'nan'::DOUBLE) AS pm1,
    coalesce(pm25, 'nan'::DOUBLE) AS pm25,
    coalesce(pm10, 'nan'::DOUBLE) AS pm10,
    coalesce(o3, 'nan'::DOUBLE) AS o3,
    coalesce(no2, 'nan'::DOUBLE) AS no2,
    coalesce(so2, 'nan'::DOUBLE) AS so2,
    coalesce(co, 'nan'::DOUBLE) AS co,
    coalesce(temperature, 'nan'::DOUBLE) AS temperature,
    coalesce(humidity, 'nan'::DOUBLE) AS humidity,
    coalesce(pressure, 'nan'::DOUBLE) AS pressure
FROM read_parquet($files)
WHERE timestamp >= make_timestamptz($since_us)
QUALIFY row_number() OVER (PARTITION BY sensor_id ORDER BY timestamp DESC) = 1
ORDER BY sensor_id
