-- The elements some rule draws, one row for each layer they appear in.
CREATE TABLE elements AS
WITH tagged AS (
    SELECT kind, id, tags, refs, ref_roles, ref_types, unnest(map_entries(tags)) AS tag
    FROM ST_ReadOSM($path)
    WHERE tags IS NOT NULL
        AND coalesce(tags['indoor'], 'no') = 'no'
        AND (kind <> 'relation' OR tags['type'] IN ('multipolygon', 'boundary'))
)
SELECT
    kind, id, refs, ref_roles, ref_types, layer, form, min_zoom, class, rules.number AS rule_number,
    CASE WHEN layer = 'transportation' AND tag.value <> class THEN tag.value END AS subclass,
    CASE WHEN layer IN ('transportation_name', 'waterway', 'park', 'place') THEN tags['name'] END
        AS name,
    CASE
        WHEN layer <> 'transportation' THEN NULL
        WHEN coalesce(tags['tunnel'], 'no') <> 'no' THEN 'tunnel'
        WHEN coalesce(tags['bridge'], 'no') <> 'no' THEN 'bridge'
    END AS brunnel,
    CASE WHEN layer = 'transportation' AND ends_with(tag.value, '_link') THEN 1 END AS ramp,
    coalesce(tags['area'], 'no') = 'yes' AS filled
FROM tagged
JOIN rules ON rules.key = tag.key AND rules.value IN (tag.value, '*')
WHERE (tag.key <> 'building' OR tag.value <> 'no')
    AND (layer NOT IN ('transportation_name', 'place') OR tags['name'] IS NOT NULL)
    AND (layer <> 'landuse' OR tags['building'] IS NULL)
QUALIFY row_number() OVER (PARTITION BY kind, id, layer ORDER BY rules.number) = 1
