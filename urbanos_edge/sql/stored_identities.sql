-- What the store holds for the identities in `suspects`: sensors by number, the file, what they said.
SELECT
    suspects.sensor,
    suspects.timestamp_us,
    stored.filename,
    contains(stored.flags, 'channels') AS channels_disagree,
    coalesce(stored.reported_aqi, 'nan'::DOUBLE) AS reported_aqi,
    coalesce(stored.pm1_raw, stored.pm1, 'nan'::DOUBLE) AS pm1,
    coalesce(stored.pm25_raw, stored.pm25, 'nan'::DOUBLE) AS pm25,
    coalesce(stored.pm10_raw, stored.pm10, 'nan'::DOUBLE) AS pm10,
    coalesce(stored.o3_raw, stored.o3, 'nan'::DOUBLE) AS o3,
    coalesce(stored.no2_raw, stored.no2, 'nan'::DOUBLE) AS no2,
    coalesce(stored.so2_raw, stored.so2, 'nan'::DOUBLE) AS so2,
    coalesce(stored.co_raw, stored.co, 'nan'::DOUBLE) AS co,
    coalesce(stored.temperature_raw, stored.temperature, 'nan'::DOUBLE) AS temperature,
    coalesce(stored.humidity_raw, stored.humidity, 'nan'::DOUBLE) AS humidity,
    coalesce(stored.pressure_raw, stored.pressure, 'nan'::DOUBLE) AS pressure
FROM (SELECT DISTINCT sensor, timestamp_us FROM suspects) AS suspects
JOIN labels ON labels.number = suspects.sensor
JOIN (
    FROM read_parquet($files, filename = true, union_by_name = true)
    UNION ALL BY NAME {later_columns}
) AS stored
    ON stored.sensor_id = labels.label
    AND stored.timestamp = make_timestamptz(suspects.timestamp_us)
WHERE stored.timestamp BETWEEN make_timestamptz($min_at_us) AND make_timestamptz($max_at_us)
