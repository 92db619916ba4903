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
            given({pollutant}_aqi),
            copied(source),
            copied(pollution_type),
            given(level),
            copied(sensor_id),
            copied_moment(received_at),
            given(reported_aqi),
            given({quantity}),
            flags,
            given(nullif(correction, '')),
            given({quantity}_raw)
        ) AS line
    FROM ({sent_readings})
    WHERE hash(sensor_id) % $slices = $slice
)
GROUP BY part
