-- How many identities stand more than once in these files, and one of them.
SELECT count(*), any_value(sensor_id || ' at ' || strftime(timestamp, '%Y-%m-%dT%H:%M:%S.%fZ'))
FROM (
    SELECT sensor_id, timestamp
    FROM read_parquet($files)
    GROUP BY ALL
    HAVING count(*) > 1
)
