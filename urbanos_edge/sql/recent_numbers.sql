-- `recent_rows` without a string: origins by number, flags as bits (their place among $flag_labels).
SELECT
    origin,
    rows.* EXCLUDE (sensor_id, source, pollution_type, lng, lat, correction, flags),
    list_position(from_json($flag_labels, '["VARCHAR"]'), flags) - 1 AS flags
FROM recent_rows AS rows
JOIN recent_origins USING (sensor_id, source, pollution_type, lng, lat, correction)
