-- Readings of a tile since a moment, newest first, with the fields of `rows.Row`. Where the tile
-- lies in one stored grid, that grid's index ends the search after `per_grid` rows.
SELECT {central_row_columns}
FROM pollution_data AS d
WHERE (%(grid_id)s::TEXT IS NULL OR d.grid_id = %(grid_id)s)
    AND d.timestamp > %(since)s
    AND d.created_date >= %(since_day)s
    AND d.location && ST_MakeEnvelope(%(west)s, %(south)s, %(east)s, %(north)s, 4326)
    AND ST_X(d.location) >= %(west)s AND (ST_X(d.location) < %(east)s OR %(east)s = 180)
    AND ST_Y(d.location) <= %(north)s AND (ST_Y(d.location) > %(south)s OR %(south)s = -90)
ORDER BY d.timestamp DESC, d.sensor_id
LIMIT %(per_grid)s
