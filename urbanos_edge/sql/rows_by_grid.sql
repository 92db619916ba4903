-- Readings of a box since a moment, newest first, at most `per_grid` of each tile of a zoom, where
-- n = 2^zoom; with the fields of `rows.Row`.
SELECT {row_columns}
FROM read_parquet($files)
WHERE timestamp > make_timestamptz($since_us)
    AND lng BETWEEN $min_lng AND $max_lng
    AND lat BETWEEN $min_lat AND $max_lat
QUALIFY row_number() OVER (
    PARTITION BY floor((lng + 180) / 360 * $n), floor((1 - asinh(tan(radians(lat))) / pi()) / 2 * $n)
    ORDER BY timestamp DESC, sensor_id
) <= $per_grid
ORDER BY timestamp DESC, sensor_id
