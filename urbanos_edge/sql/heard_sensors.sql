-- The sensors heard since $since_us: from when their last twelve readings are, and whether something
-- that they say stayed the same since.
CREATE OR REPLACE TEMP TABLE heard_sensors AS
SELECT
    sensor_id,
    list_min(max(timestamp, 12)) AS last_from,
    list_contains([
        min(coalesce({quantity}_raw, {quantity})) = max(coalesce({quantity}_raw, {quantity}))
    ], true) AS is_unchanged
FROM (FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME {later_columns})
WHERE timestamp >= make_timestamptz($since_us) AND NOT contains(flags, 'clock')
GROUP BY sensor_id
