-- Sensors, and cells of nodes that send none, by id; of all of them how many there are.
WITH RECURSIVE {central_points},
listed AS (
    SELECT *, count(*) OVER () AS total FROM points
)
SELECT
    id,
    latitude_of_row(18, v) AS lat,
    longitude_of_column(18, u) AS lng,
    aqi,
    level,
    dominant,
    (extract(EPOCH FROM at) * 1000000)::BIGINT AS at_us,
    flags,
    source,
    reported_aqi,
    total
FROM listed
WHERE id COLLATE "C" > %(after)s
ORDER BY id COLLATE "C"
LIMIT %(limit)s
