-- The points of a tile, as parts of a statement: sensors of nodes that send readings, by their
-- latest one, and cells of the other nodes, by the mean of their newest hour. u and v are columns and
-- rows of zoom 18, `tile_u` and `tile_v` the same within the world: at 180° and towards the poles the
-- outermost tile has what lies there. `names` steps through an index from sensor to sensor, however
-- many readings there are. Where a pollutant is named, its index stands for the overall one, and what
-- has none is left out; a cell's is that of its hour's mean: of the indexes' lowest concentrations,
-- `starts`, it reaches one more. Whatever has a pollutant's index has an overall one, which the places
-- are found by.
by_readings AS MATERIALIZED (
    SELECT node_id FROM nodes WHERE mode = 'readings' AND %(with_readings)s
),
hours AS (
    SELECT
        a.x18,
        a.y18,
        a.bucket_start,
        sum(a.count) AS counted,
        sum(a.sum) AS aqi_sum,
        array_agg(a.node_id) FILTER (WHERE %(pollutant)s::TEXT IS NOT NULL) AS nodes
    FROM pollution_aggregates AS a
    LEFT JOIN by_readings AS n ON n.node_id = a.node_id
    WHERE n.node_id IS NULL
        AND a.quantity = 'aqi'
        AND a.count > 0
        AND a.bucket_start >= %(latest_since)s
        AND a.bucket_start < %(until_hour)s
        AND (
            %(z)s < 4
            OR tile_center(18, a.x18, a.y18)
                && ST_MakeEnvelope(%(west)s, %(south)s, %(east)s, %(north)s, 4326)
        )
        AND a.x18 >> %(shift)s = %(x)s
        AND a.y18 >> %(shift)s = %(y)s
    GROUP BY a.x18, a.y18, a.bucket_start
),
newest AS (
    SELECT DISTINCT ON (x18, y18) format('z18-x%%s-y%%s', x18, y18) AS id, *
    FROM hours
    ORDER BY x18, y18, bucket_start DESC
),
cells AS (
    SELECT
        id,
        x18 + 0.5::FLOAT AS u,
        y18 + 0.5::FLOAT AS v,
        CASE
            WHEN %(pollutant)s::TEXT IS NULL THEN round(aqi_sum / counted)::INTEGER
            ELSE (
                SELECT
                    width_bucket((sum(a.sum) / sum(a.count))::FLOAT, %(starts)s::FLOAT[]) - 1
                FROM pollution_aggregates AS a
                WHERE a.node_id = ANY (n.nodes)
                    AND a.bucket_start = n.bucket_start
                    AND a.bucket_start >= %(latest_since)s
                    AND a.bucket_start < %(until_hour)s
                    AND a.bucket_s = 3600
                    AND a.quantity = %(pollutant)s
                    AND a.cell = n.id
                    AND a.count > 0
            )
        END AS aqi,
        %(pollutant)s::TEXT AS dominant,
        bucket_start AS at,
        '' AS flags,
        'aggregates' AS source,
        NULL::FLOAT AS reported_aqi
    FROM newest AS n
),
names AS (
    (
        SELECT sensor_id
        FROM pollution_data
        WHERE sensor_id IS NOT NULL
            AND created_date >= %(latest_since_day)s
            AND EXISTS (SELECT FROM by_readings)
        ORDER BY sensor_id
        LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT d.sensor_id
        FROM pollution_data AS d
        WHERE d.sensor_id > n.sensor_id AND d.created_date >= %(latest_since_day)s
        ORDER BY d.sensor_id
        LIMIT 1
    )
    FROM names AS n
    WHERE n.sensor_id IS NOT NULL
),
sensors AS (
    SELECT
        d.sensor_id AS id,
        (ST_X(d.location) + 180) / 360 * 262144 AS u,
        (1 - asinh(tan(radians(ST_Y(d.location)))) / pi()) / 2 * 262144 AS v,
        CASE
            WHEN %(pollutant)s::TEXT IS NULL THEN d.aqi_value
            ELSE (
                SELECT i.aqi
                FROM (VALUES
                    ('{pollutant}', d.{pollutant}_aqi)
                ) AS i(name, aqi)
                WHERE i.name = %(pollutant)s::TEXT
            )
        END::INTEGER AS aqi,
        coalesce(%(pollutant)s::TEXT, (
            SELECT p.name
            FROM unnest(%(pollutants)s::TEXT[]) WITH ORDINALITY AS p(name, place)
            JOIN (VALUES
                ('{pollutant}', d.{pollutant}_aqi)
            ) AS i(name, aqi) USING (name)
            WHERE i.aqi = d.aqi_value
            ORDER BY p.place
            LIMIT 1
        )) AS dominant,
        d.timestamp AS at,
        d.flags,
        coalesce(d.source, '') AS source,
        d.reported_aqi
    FROM names AS n
    CROSS JOIN LATERAL (
        SELECT *
        FROM pollution_data AS p
        WHERE p.sensor_id = n.sensor_id
            AND p.timestamp >= %(latest_since)s
            AND p.timestamp < %(until_hour)s
            AND p.created_date >= %(latest_since_day)s
            AND p.node_id IN (SELECT node_id FROM by_readings)
        ORDER BY p.timestamp DESC
        LIMIT 1
    ) AS d
    WHERE d.location && ST_MakeEnvelope(%(west)s, %(south)s, %(east)s, %(north)s, 4326)
),
points AS MATERIALIZED (
    SELECT
        p.*,
        -- `least` leaves out what is NULL: without an index it would be the last level.
        CASE
            WHEN p.aqi IS NOT NULL
            THEN (%(levels)s::INTEGER[])[least(p.aqi + 1, cardinality(%(levels)s::INTEGER[]))]
        END AS level
    FROM (
        SELECT
            *,
            least(greatest(u, 0), 262144 - 1 / 4096.0) AS tile_u,
            least(greatest(v, 0), 262144 - 1 / 4096.0) AS tile_v
        FROM (SELECT * FROM cells UNION ALL SELECT * FROM sensors) AS placed
    ) AS p
    WHERE floor(p.tile_u)::INTEGER >> %(shift)s = %(x)s
        AND floor(p.tile_v)::INTEGER >> %(shift)s = %(y)s
        AND (%(pollutant)s::TEXT IS NULL OR p.aqi >= 0)
)
