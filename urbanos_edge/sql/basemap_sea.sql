-- The sea: the extract's frame is cut along the coastline, and a face is sea when the points half
-- a metre to the right of the coast (where OpenStreetMap has the water) lie in it and those to the
-- left do not. Where a cut extract ends the coast just short of the frame, it is led on to it; a
-- coast with other gaps leaves both sides in one face, which then stays land.
CREATE TABLE sea AS
WITH coast AS (
    SELECT id, gap, line, box, ST_Boundary(box) AS edge
    FROM ways, frame
    WHERE coast
),
ends AS (
    SELECT ends.point, any_value(edge) AS edge
    FROM (
        SELECT unnest([ST_StartPoint(line), ST_EndPoint(line)]) AS point, box, edge FROM coast
    ) AS ends
    WHERE ST_Within(ends.point, box)
    GROUP BY ends.point
    HAVING count(*) = 1
),
cuts AS (
    SELECT ST_Intersection(line, box) AS cut FROM coast
    UNION ALL
    SELECT ST_ShortestLine(point, edge) FROM ends WHERE ST_Distance(point, edge) < 300
    UNION ALL
    SELECT DISTINCT edge FROM coast
),
faces AS (
    SELECT face.geom AS face, row_number() OVER () AS number
    FROM (
        SELECT unnest(ST_Dump(ST_Polygonize([ST_Node(ST_Collect(list(cut)))]))) AS face FROM cuts
    )
),
segments AS (
    SELECT
        ST_PointN(line, step::INTEGER) AS a, ST_PointN(line, step::INTEGER + 1) AS b,
        ST_Distance(a, b) AS length
    FROM coast, range(1, ST_NPoints(line)) AS steps(step)
),
shores AS (
    SELECT side, ST_Point(
        (ST_X(a) + ST_X(b)) / 2 + side * 0.5 * (ST_Y(b) - ST_Y(a)) / length,
        (ST_Y(a) + ST_Y(b)) / 2 - side * 0.5 * (ST_X(b) - ST_X(a)) / length
    ) AS shore
    FROM segments, (VALUES (1), (-1)) AS sides(side)
    WHERE length > 0
)
SELECT any_value(face) AS area
FROM faces
JOIN shores ON ST_Contains(face, shore)
GROUP BY number
HAVING count(*) FILTER (side = 1) > 20 * count(*) FILTER (side = -1)
