-- Readings of an area since a moment, newest first, with the fields of `rows.Row`.
SELECT {row_columns}
FROM read_parquet($files)
WHERE timestamp > make_timestamptz($since_us)
    AND lng BETWEEN $min_lng AND $max_lng
    AND lat BETWEEN $min_lat AND $max_lat
    AND ($grid_id IS NULL OR grid_id = $grid_id)
ORDER BY timestamp DESC, sensor_id
LIMIT $limit
