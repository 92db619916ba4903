-- Readings of one sensor from memory, registered as `held`, with the columns of `history_stored`.
SELECT
    timestamp_us,
    from_json($flag_labels, '["VARCHAR"]')[flags + 1] AS flags,
    nullif(aqi_value, -1)::BIGINT AS aqi,
    nullif(
        COLUMNS('^({any_quantity})$'), 'nan'::DOUBLE
    ) AS '\1'
FROM held
