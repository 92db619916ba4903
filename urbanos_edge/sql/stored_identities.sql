-- What the store holds for the identities in `suspects`: sensors by number, the file, what they said,
-- and what was found as they came.
SELECT
    suspects.sensor,
    suspects.timestamp_us,
    stored.filename,
    contains(stored.flags, 'channels') AS channels_disagree,
    contains(stored.flags, 'stuck') AS stuck,
    contains(stored.flags, 'spike') AS spike,
    coalesce(stored.reported_aqi, 'nan'::DOUBLE) AS reported_aqi,
    coalesce(stored.{quantity}_raw, stored.{quantity}, 'nan'::DOUBLE) AS {quantity}
FROM (SELECT DISTINCT sensor, timestamp_us FROM suspects) AS suspects
JOIN labels ON labels.number = suspects.sensor
JOIN (
    FROM read_parquet($files, filename = true, union_by_name = true)
    UNION ALL BY NAME {later_columns}
) AS stored
    ON stored.sensor_id = labels.label
    AND stored.timestamp = make_timestamptz(suspects.timestamp_us)
WHERE stored.timestamp BETWEEN make_timestamptz($min_at_us) AND make_timestamptz($max_at_us)
