-- What some rows come to per bucket, in the integers of `hourly_aggregates`; 0 where there is none.
SELECT
    timestamp_us // $bucket_us * $bucket_us AS at_us,
    count(COLUMNS('^t_(.*)$')) AS '\1_count',
    coalesce(sum(COLUMNS('^t_(.*)$')), 0)::BIGINT AS '\1_sum',
    coalesce(min(COLUMNS('^t_(.*)$')), 0) AS '\1_min',
    coalesce(max(COLUMNS('^t_(.*)$')), 0) AS '\1_max',
    count(COLUMNS('^f_(.*)$')) AS '\1_flagged'
FROM (
    SELECT
        timestamp_us,
        IF(flags = '', round(COLUMNS('^({quantities})$') * 10000)::BIGINT, NULL) AS 't_\1',
        IF(flags = '', NULL, COLUMNS('^({quantities})$')) AS 'f_\1'
    FROM ({rows})
)
GROUP BY at_us
ORDER BY at_us
