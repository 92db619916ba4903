-- One layer of those tiles of one zoom, between the given columns and rows, that have any of it.
-- Below the last zoom, shapes are simplified to half a pixel of a 512-pixel tile, and what is
-- smaller than two pixels is left out.
WITH scale AS (
    SELECT
        20037508.342789244 AS half_world_m,
        2 * half_world_m / 2 ^ $zoom AS tile_m,
        tile_m / 4096 AS unit_m,
        IF($zoom < $last_zoom, 4, 0.5) * unit_m AS tolerance_m
),
shown AS (
    SELECT
        features.* EXCLUDE (geom),
        CASE ST_Dimension(geom)
            WHEN 0 THEN geom
            WHEN 1 THEN ST_Simplify(geom, tolerance_m)
            ELSE ST_SimplifyPreserveTopology(geom, tolerance_m)
        END AS geom,
        (half_world_m + left_m) / tile_m AS left_t, (half_world_m + right_m) / tile_m AS right_t,
        (half_world_m - top_m) / tile_m AS top_t, (half_world_m - bottom_m) / tile_m AS bottom_t
    FROM features, scale
    WHERE layer = $layer
        AND min_zoom <= $zoom
        AND ($zoom = $last_zoom OR ST_Dimension(geom) = 0
            OR greatest(right_m - left_m, top_m - bottom_m) >= 16 * unit_m)
),
in_columns AS (
    SELECT *, unnest(range(
        greatest(floor(left_t - 1 / 64)::INTEGER, $west),
        least(floor(right_t + 1 / 64)::INTEGER, $east) + 1
    ))::INTEGER AS x
    FROM shown
),
in_tiles AS (
    SELECT *, unnest(range(
        greatest(floor(top_t - 1 / 64)::INTEGER, $north),
        least(floor(bottom_t + 1 / 64)::INTEGER, $south) + 1
    ))::INTEGER AS y
    FROM in_columns
),
clipped AS (
    SELECT x, y, number, class, subclass, name, brunnel, ramp, ST_AsMVTGeom(
        geom, ST_Extent(ST_TileEnvelope($zoom, x, y)), 4096, 64, true
    ) AS geom
    FROM in_tiles
)
SELECT x, y, ST_AsMVT({
    'class': class, 'subclass': subclass, 'name': name, 'brunnel': brunnel, 'ramp': ramp,
    'geom': geom
}, $layer, 4096, 'geom' ORDER BY number) AS layer
FROM clipped
WHERE geom IS NOT NULL
GROUP BY x, y
