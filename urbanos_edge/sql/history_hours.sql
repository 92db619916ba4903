-- What the hours of one sensor in the view `hourly` come to per bucket; `buckets` says which hour
-- belongs to which. 0 where there is none.
SELECT
    at_us,
    coalesce(sum(COLUMNS('^({quantities})_count$')), 0)::BIGINT AS '\1_count',
    coalesce(sum(COLUMNS('^({quantities})_sum$')), 0)::BIGINT AS '\1_sum',
    coalesce(min(COLUMNS('^({quantities})_min$')), 0) AS '\1_min',
    coalesce(max(COLUMNS('^({quantities})_max$')), 0) AS '\1_max',
    coalesce(sum(COLUMNS('^({quantities})_flagged$')), 0)::BIGINT AS '\1_flagged'
FROM hourly
JOIN buckets USING (hour)
WHERE sensor_id = $sensor_id
GROUP BY at_us
ORDER BY at_us
