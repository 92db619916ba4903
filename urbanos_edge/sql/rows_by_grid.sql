-- Readings of a box since a moment, newest first, at most `per_grid` of each tile of a zoom, where
-- n = 2^zoom, and `at_most` of all; with the fields of `rows.Row`.
SELECT {row_columns}
FROM (
    FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME {later_columns}
)
WHERE timestamp > make_timestamptz($since_us) AND timestamp < make_timestamptz($until_us)
    AND lng >= $min_lng AND (lng < $max_lng OR $max_lng = 180)
    AND lat <= $max_lat AND (lat > $min_lat OR $min_lat = -90)
QUALIFY row_number() OVER (
    PARTITION BY floor((lng + 180) / 360 * $n), floor((1 - asinh(tan(radians(lat))) / pi()) / 2 * $n)
    ORDER BY timestamp DESC, sensor_id
) <= $per_grid
ORDER BY timestamp DESC, sensor_id
LIMIT $at_most
