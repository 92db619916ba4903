-- The polygons of multipolygon relations: what the outer ways enclose, without what the inner ones
-- do. Rings whose ways are missing from the extract do not close and are left out.
CREATE TABLE areas AS
WITH members AS (
    SELECT DISTINCT id, unnest(refs) AS way_id, unnest(ref_roles) = 'inner' AS inside
    FROM elements
    WHERE kind = 'relation'
),
rings AS (
    SELECT
        members.id,
        ST_BuildArea(ST_Collect(list(line ORDER BY way_id) FILTER (NOT inside))) AS outers,
        ST_BuildArea(ST_Collect(list(line ORDER BY way_id) FILTER (inside))) AS inners
    FROM members
    JOIN ways ON ways.id = way_id AND whole
    GROUP BY members.id
)
SELECT id, coalesce(ST_Difference(outers, inners), outers) AS area
FROM rings
WHERE outers IS NOT NULL AND NOT ST_IsEmpty(outers)
