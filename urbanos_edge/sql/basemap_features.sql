-- What is drawn, in metres, with its box: areas made valid, all cut off at the extract's frame, and
-- lines of one kind joined end to end. Joining happens within cells of 40 km of the plane, so that
-- it stays small however large the extract.
CREATE TABLE features AS
WITH shapes AS (
    SELECT elements.*, CASE
        WHEN form IN ('area', 'label') AND NOT (whole AND ST_IsClosed(line)) THEN NULL
        WHEN form = 'line' AND NOT filled OR NOT (whole AND ST_IsClosed(line)) THEN line
        WHEN ST_NPoints(line) >= 4 THEN ST_MakePolygon(line)
    END AS geom
    FROM elements
    JOIN ways USING (id)
    WHERE kind = 'way'
    UNION ALL
    SELECT elements.*, area
    FROM elements
    JOIN areas USING (id)
    WHERE kind = 'relation'
    UNION ALL
    SELECT elements.*, ST_Point(x, y)
    FROM elements
    JOIN nodes USING (id)
    WHERE kind = 'node' AND form IN ('point', 'label')
),
mended AS (
    SELECT * EXCLUDE (geom), CASE
        WHEN form = 'label' THEN ST_PointOnSurface(geom)
        WHEN ST_Dimension(geom) = 2 AND NOT ST_IsValid(geom)
            THEN ST_CollectionExtract(ST_MakeValid(geom), 3)
        ELSE geom
    END AS geom
    FROM shapes
    WHERE geom IS NOT NULL AND (form <> 'point' OR kind = 'node')
),
drawn AS (
    SELECT layer, min_zoom, class, subclass, name, brunnel, ramp, id, ST_CollectionExtract(
        IF(ST_Within(geom, box), geom, ST_Intersection(geom, box)), ST_Dimension(geom) + 1
    ) AS geom
    FROM mended, frame
),
gathered AS (
    SELECT
        layer, min_zoom, class, subclass, name, brunnel, ramp,
        floor(ST_XMin(geom) / 40000) AS cell_x, floor(ST_YMin(geom) / 40000) AS cell_y,
        ST_LineMerge(ST_Collect(list(geom ORDER BY id))) AS lines
    FROM drawn
    WHERE ST_Dimension(geom) = 1
    GROUP BY ALL
),
joined AS (
    SELECT * EXCLUDE (cell_x, cell_y, lines), unnest(ST_Dump(lines)).geom AS geom FROM gathered
    UNION ALL
    SELECT * EXCLUDE (id) FROM drawn
    WHERE ST_Dimension(geom) <> 1 AND layer <> 'transportation_name'
    UNION ALL
    SELECT 'water', 0, 'ocean', NULL, NULL, NULL, NULL, area FROM sea
)
SELECT
    row_number() OVER (ORDER BY layer, class, name, subclass, brunnel, ramp, geom) AS number, *,
    ST_XMin(geom) AS left_m, ST_YMin(geom) AS bottom_m,
    ST_XMax(geom) AS right_m, ST_YMax(geom) AS top_m
FROM joined
WHERE NOT ST_IsEmpty(geom)
