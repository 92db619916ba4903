-- Readings of an area since a moment, newest first, with the fields of `rows.Row`.
SELECT {row_columns}
FROM (
    FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME {later_columns}
)
WHERE timestamp > make_timestamptz($since_us) AND timestamp < make_timestamptz($until_us)
    AND lng >= $min_lng AND (lng < $max_lng OR $max_lng = 180)
    AND lat <= $max_lat AND (lat > $min_lat OR $min_lat = -90)
    AND ($grid_id IS NULL OR grid_id = $grid_id)
ORDER BY timestamp DESC, sensor_id
LIMIT $limit
