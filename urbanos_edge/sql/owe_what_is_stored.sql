-- Every hour that readings or aggregates are kept of, for a centre that has none of them.
INSERT INTO owed_hours (hour, since_us, revision)
WITH RECURSIVE spans (hour, last) AS (
    SELECT min_at_us / 3600000000, max_at_us / 3600000000 FROM files
    UNION
    SELECT hour + 1, last FROM spans WHERE hour < last
)
SELECT hour, ?, 1 FROM (SELECT hour FROM spans UNION SELECT hour FROM counted_hours) WHERE true
ON CONFLICT (hour) DO NOTHING
