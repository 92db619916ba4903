-- Rows of one day as CSV columns of pollution_data, without id.
COPY (
    SELECT
        r.grid_id,
        p.location,
        r.timestamp,
        r.aqi_value,
        r.pm25_aqi,
        r.pm10_aqi,
        r.o3_aqi,
        r.no2_aqi,
        r.so2_aqi,
        r.co_aqi,
        r.source,
        r.pollution_type,
        r.level,
        $day
    FROM read_parquet($files) AS r
    JOIN places AS p ON p.id = r.sensor_id
    WHERE r.timestamp >= make_timestamptz($since_us)
    ORDER BY r.timestamp
) TO {target} (FORMAT csv, HEADER false)
