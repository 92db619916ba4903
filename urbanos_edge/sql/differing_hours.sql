-- Hours whose kept aggregates are not those counted anew; what is final has no readings any more.
WITH
kept AS (FROM ({kept}) WHERE NOT is_final),
anew AS (FROM ({anew}) WHERE (sensor_id, hour) NOT IN (
    SELECT (sensor_id, hour) FROM ({kept}) WHERE is_final
)),
differing AS (
    (FROM kept EXCEPT ALL FROM anew)
    UNION ALL
    (FROM anew EXCEPT ALL FROM kept)
)
SELECT DISTINCT hour FROM differing ORDER BY hour
