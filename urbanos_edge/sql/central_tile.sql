-- A vector tile with the layers and attributes of a node's own ones (`tiles`). Clusters gather what
-- lies in a raster of 8 x 8; `bits` is how much coarser than zoom 18 that is. Below zoom 4
-- the search by place costs more than it saves. Of a pollutant, clusters know the latest only.
-- Hours come here when they are over, so no latest one is left out for its age, as nodes do: `at` tells it.
WITH RECURSIVE {central_points},
raster AS (
    SELECT
        x18 >> %(bits)s AS x,
        y18 >> %(bits)s AS y,
        avg(x18) + 0.5 AS u,
        avg(y18) + 0.5 AS v,
        sum(count) AS counted,
        sum(sum) AS aqi_sum,
        max(max) AS aqi_max
    FROM pollution_aggregates
    WHERE quantity = 'aqi'
        AND count > 0
        AND bucket_start >= %(since_hour)s
        AND bucket_start < %(until_hour)s
        AND (
            %(z)s < 4
            OR tile_center(18, x18, y18)
                && ST_MakeEnvelope(%(west)s, %(south)s, %(east)s, %(north)s, 4326)
        )
        AND x18 >> %(shift)s = %(x)s
        AND y18 >> %(shift)s = %(y)s
        AND %(pollutant)s::TEXT IS NULL
    GROUP BY 1, 2
    UNION ALL
    SELECT
        floor(tile_u)::INTEGER >> %(bits)s,
        floor(tile_v)::INTEGER >> %(bits)s,
        avg(tile_u),
        avg(tile_v),
        count(*),
        sum(aqi),
        max(aqi)
    FROM points
    WHERE flags = '' AND %(pollutant)s::TEXT IS NOT NULL
    GROUP BY 1, 2
),
nearby AS (
    SELECT
        floor(tile_u)::INTEGER >> %(bits)s AS x,
        floor(tile_v)::INTEGER >> %(bits)s AS y,
        count(*) AS sensors,
        round(avg(aqi) FILTER (WHERE flags = ''), 1) AS latest_aqi,
        max(aqi) FILTER (WHERE flags = '') AS latest_max_aqi,
        coalesce(max(at) FILTER (WHERE flags = '' AND aqi IS NOT NULL), max(at)) AS at
    FROM points
    GROUP BY 1, 2
),
clusters AS (
    SELECT
        r.counted::BIGINT AS count,
        CASE
            WHEN n.latest_aqi IS NULL THEN %(no_color)s
            ELSE (%(colors)s::TEXT[])[
                least(floor(n.latest_aqi + 0.5)::INTEGER + 1, cardinality(%(colors)s::TEXT[]))
            ]
        END AS color,
        coalesce(n.sensors, 0) AS sensors,
        extract(EPOCH FROM n.at)::BIGINT AS at,
        n.latest_aqi::FLOAT AS latest_aqi,
        n.latest_max_aqi,
        round(r.aqi_sum / r.counted, 2)::FLOAT AS avg_aqi,
        round(r.aqi_max)::INTEGER AS max_aqi,
        ST_MakePoint(
            floor((r.u / (1 << %(shift)s) - %(x)s) * 4096),
            floor((r.v / (1 << %(shift)s) - %(y)s) * 4096)
        ) AS geom
    FROM raster AS r
    LEFT JOIN nearby AS n ON n.x = r.x AND n.y = r.y
),
shown AS (
    SELECT
        id,
        id AS name,
        aqi,
        level,
        dominant,
        floor(extract(EPOCH FROM at))::BIGINT AS at,
        flags,
        source,
        ST_MakePoint(
            floor((tile_u / (1 << %(shift)s) - %(x)s) * 4096),
            floor((tile_v / (1 << %(shift)s) - %(y)s) * 4096)
        ) AS geom
    FROM points
    WHERE %(z)s >= 12 OR (SELECT count(*) FROM points) <= 200
)
SELECT
    coalesce((SELECT ST_AsMVT(c, 'clusters', 4096, 'geom') FROM clusters AS c), '')
    || coalesce((SELECT ST_AsMVT(s, 'sensors', 4096, 'geom') FROM shown AS s), '')
