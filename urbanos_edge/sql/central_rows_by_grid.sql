-- Readings of a box since a moment, newest first, at most `per_grid` of each tile of a zoom, where
-- n = 2^zoom, and `at_most` of all; with the fields of `rows.Row`.
SELECT {central_row_columns}
FROM (
    SELECT
        p.*,
        row_number() OVER (
            PARTITION BY
                floor((ST_X(p.location) + 180) / 360 * %(n)s),
                floor((1 - asinh(tan(radians(ST_Y(p.location)))) / pi()) / 2 * %(n)s)
            ORDER BY p.timestamp DESC, p.sensor_id
        ) AS place
    FROM pollution_data AS p
    WHERE p.timestamp > %(since)s
        AND p.created_date >= %(since_day)s
        AND p.location && ST_MakeEnvelope(%(west)s, %(south)s, %(east)s, %(north)s, 4326)
        AND ST_X(p.location) >= %(west)s AND (ST_X(p.location) < %(east)s OR %(east)s = 180)
        AND ST_Y(p.location) <= %(north)s AND (ST_Y(p.location) > %(south)s OR %(south)s = -90)
) AS d
WHERE d.place <= %(per_grid)s
ORDER BY d.timestamp DESC, d.sensor_id
LIMIT %(at_most)s
