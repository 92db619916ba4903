-- Which flags the readings of each sensor have in a span, how many, when, and what they said.
WITH spanned AS (
    SELECT sensor_id, timestamp, flags, pm25, pm10
    FROM read_parquet($files)
    WHERE timestamp >= make_timestamptz($since_us) AND timestamp < make_timestamptz($until_us)
),
stored AS (
    SELECT sensor_id, count(*) AS readings FROM spanned GROUP BY sensor_id
)
SELECT
    flag,
    sensor_id,
    count(*) AS flagged,
    any_value(stored.readings) AS readings,
    epoch_us(min(timestamp)) AS first_at_us,
    epoch_us(max(timestamp)) AS last_at_us,
    min(pm25) AS lowest_pm25,
    max(pm25) AS highest_pm25,
    min(pm10) AS lowest_pm10,
    max(pm10) AS highest_pm10
FROM (SELECT *, unnest(string_split(flags, ',')) AS flag FROM spanned WHERE flags <> '')
JOIN stored USING (sensor_id)
GROUP BY flag, sensor_id
ORDER BY flag, flagged DESC, sensor_id
