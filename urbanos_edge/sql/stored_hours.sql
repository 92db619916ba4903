-- Every hour (counted from 1970) that readings or aggregates are kept of.
WITH RECURSIVE spans (hour, last) AS (
    SELECT min_at_us / 3600000000, max_at_us / 3600000000 FROM files
    UNION
    SELECT hour + 1, last FROM spans WHERE hour < last
)
SELECT hour FROM spans UNION SELECT hour FROM counted_hours ORDER BY hour
