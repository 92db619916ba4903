-- Readings gathered per sensor, cell of zoom 18 and hour. Per quantity, as integers of 1/10,000 of
-- its unit: count, sum, sum of squares, lowest and highest of the unflagged ones; and how many were
-- flagged. `lng`, `lat` and `last_at_us` are of the newest reading, flagged or not. A value beyond
-- what an integer holds is beyond what is credible, too: it is flagged and only counted. Files of older
-- versions have values that a mistaken calibration made, up to 5e9 and not flagged: no BIGINT holds the
-- squares of those from 303,701 on.
SELECT
    sensor_id,
    hour,
    x18,
    y18,
    arg_max(lng, timestamp) AS lng,
    arg_max(lat, timestamp) AS lat,
    epoch_us(max(timestamp)) AS last_at_us,
    sum(trusted::INTEGER)::INTEGER AS readings,
    count(*)::INTEGER - readings AS flagged,
    count(COLUMNS('^t_(.*)$'))::INTEGER AS '\1_count',
    sum(COLUMNS('^t_(.*)$'))::DECIMAL(38, 0) AS '\1_sum',
    sum(COLUMNS('^t_(.*)$')::HUGEINT * COLUMNS('^t_(.*)$'))::DECIMAL(38, 0) AS '\1_sum_sq',
    min(COLUMNS('^t_(.*)$')) AS '\1_min',
    max(COLUMNS('^t_(.*)$')) AS '\1_max',
    count(COLUMNS('^f_(.*)$'))::INTEGER AS '\1_flagged',
    false AS is_final
FROM (
    SELECT
        * EXCLUDE (flags),
        flags = '' AS trusted,
        IF(trusted, COLUMNS('^q_(.*)$'), NULL) AS 't_\1',
        IF(trusted, NULL, COLUMNS('^q_(.*)$')) AS 'f_\1'
    FROM (
        SELECT
            sensor_id,
            timestamp,
            epoch_us(timestamp) // 3600000000 AS hour,
            {cell_columns},
            lng,
            lat,
            flags,
            aqi_value::BIGINT * 10000 AS q_aqi,
            IF(
                abs(COLUMNS('^({any_quantity})$')) < 9e14,
                round(COLUMNS('^({any_quantity})$') * 10000),
                0 * COLUMNS('^({any_quantity})$')
            )::BIGINT AS 'q_\1'
        FROM (
            FROM read_parquet({files}, union_by_name = true) UNION ALL BY NAME {later_columns}
        )
        WHERE timestamp >= make_timestamptz({since_us}) AND timestamp < make_timestamptz({until_us})
    )
    WHERE hour IN (SELECT hour FROM fresh_hours)
)
GROUP BY ALL
