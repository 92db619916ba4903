-- The lines of all ways that are drawn, bound an area or are coast, in metres. A way some of whose
-- nodes lie outside the extract appears as the runs that are inside, none of them `whole`.
CREATE TABLE ways AS
WITH needed AS (
    SELECT id FROM elements WHERE kind = 'way'
    UNION
    SELECT unnest(refs) FROM elements WHERE kind = 'relation'
),
steps AS (
    SELECT
        id, coalesce(tags['natural'], '') = 'coastline' AS coast, len(refs) AS length,
        unnest(refs) AS node_id, generate_subscripts(refs, 1) AS step
    FROM ST_ReadOSM($path)
    WHERE kind = 'way' AND (id IN (SELECT id FROM needed) OR tags['natural'] = 'coastline')
),
placed AS (
    SELECT
        steps.*, ST_Point(x, y) AS place,
        step - row_number() OVER (PARTITION BY steps.id ORDER BY step) AS gap
    FROM steps
    JOIN nodes ON nodes.id = node_id
)
SELECT
    id, gap, any_value(coast) AS coast, count(*) = any_value(length) AS whole,
    ST_MakeLine(list(place ORDER BY step)) AS line
FROM placed
GROUP BY id, gap
HAVING count(*) >= 2
