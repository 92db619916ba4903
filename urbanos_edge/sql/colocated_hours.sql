-- The hours in which two sensors measured a quantity side by side: the mean of what each said, and
-- whether both said at least three quarters of what is usual of them (the median of their hours).
-- Flagged readings are left out; but of the sensor that is to be calibrated, those that only differ
-- from its neighbours are the very thing.
WITH said AS (
    SELECT
        sensor_id,
        epoch_us(timestamp) // 3_600_000_000 AS hour,
        IF(sensor_id = $sensor_id, coalesce({measured}_raw, {measured}), {measured}) AS value
    FROM (FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME {later_columns})
    WHERE sensor_id IN ($sensor_id, $reference_id)
        AND (flags = '' OR (sensor_id = $sensor_id AND flags = 'neighbours'))
        AND timestamp >= make_timestamptz($from_us) AND timestamp < make_timestamptz($until_us)
),
hourly AS (
    SELECT
        sensor_id,
        hour,
        avg(value) AS mean,
        count(value) >= 0.75 * median(count(value)) OVER (PARTITION BY sensor_id) AS is_complete
    FROM said
    GROUP BY sensor_id, hour
    HAVING count(value) > 0
)
SELECT
    sensor.mean AS said,
    reference.mean AS true_value,
    sensor.is_complete AND reference.is_complete AS is_complete
FROM hourly AS sensor
JOIN hourly AS reference USING (hour)
WHERE sensor.sensor_id = $sensor_id AND reference.sensor_id = $reference_id
ORDER BY hour
