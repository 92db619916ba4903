-- What the store holds for the identities in `suspects`: sensors by number, the file, the values.
SELECT
    suspects.sensor,
    suspects.timestamp_us,
    stored.filename,
    coalesce(stored.reported_aqi, 'nan'::DOUBLE) AS reported_aqi,
    coalesce(stored.pm1, 'nan'::DOUBLE) AS pm1,
    coalesce(stored.pm25, 'nan'::DOUBLE) AS pm25,
    coalesce(stored.pm10, 'nan'::DOUBLE) AS pm10,
    coalesce(stored.o3, 'nan'::DOUBLE) AS o3,
    coalesce(stored.no2, 'nan'::DOUBLE) AS no2,
    coalesce(stored.so2, 'nan'::DOUBLE) AS so2,
    coalesce(stored.co, 'nan'::DOUBLE) AS co,
    coalesce(stored.temperature, 'nan'::DOUBLE) AS temperature,
    coalesce(stored.humidity, 'nan'::DOUBLE) AS humidity,
    coalesce(stored.pressure, 'nan'::DOUBLE) AS pressure
FROM (SELECT DISTINCT sensor, timestamp_us FROM suspects) AS suspects
JOIN labels ON labels.number = suspects.sensor
JOIN read_parquet($files, filename = true) AS stored
    ON stored.sensor_id = labels.label
    AND stored.timestamp = make_timestamptz(suspects.timestamp_us)
WHERE stored.timestamp BETWEEN make_timestamptz($min_at_us) AND make_timestamptz($max_at_us)
