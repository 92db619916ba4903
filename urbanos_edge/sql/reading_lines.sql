-- A slice of the readings as lines of PostgreSQL's COPY into `incoming_readings`, a thousand in each
-- value: sensors are dealt to slices, so that what is in memory at once is bounded.
SELECT encode(string_agg(line || chr(10), '')) AS lines, count(*) AS readings
FROM (
    SELECT
        row_number() OVER () // 1000 AS part,
        concat_ws(
            chr(9),
            id,
            grid_id,
            lng,
            lat,
            copied_moment(timestamp),
            given(aqi_value),
            given(pm25_aqi),
            given(pm10_aqi),
            given(o3_aqi),
            given(no2_aqi),
            given(so2_aqi),
            given(co_aqi),
            copied(source),
            copied(pollution_type),
            given(level),
            copied(sensor_id),
            copied_moment(received_at),
            given(reported_aqi),
            given(pm1),
            given(pm25),
            given(pm10),
            given(o3),
            given(no2),
            given(so2),
            given(co),
            given(temperature),
            given(humidity),
            given(pressure),
            flags,
            given(nullif(correction, '')),
            given(pm1_raw),
            given(pm25_raw),
            given(pm10_raw),
            given(o3_raw),
            given(no2_raw),
            given(so2_raw),
            given(co_raw),
            given(temperature_raw),
            given(humidity_raw),
            given(pressure_raw)
        ) AS line
    FROM ({sent_readings})
    WHERE hash(sensor_id) % $slices = $slice
)
GROUP BY part
