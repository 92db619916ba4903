-- Readable from schema 11 on.

-- The number of the last change of each hour (counted from 1970). One counter for all, never reused,
-- so that who knows a number can ask for what changed since.
CREATE TABLE hour_revisions (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    hour INTEGER NOT NULL UNIQUE
) STRICT;

-- What is stored already, the oldest first.
INSERT INTO hour_revisions (hour)
WITH RECURSIVE spans (hour, last) AS (
    SELECT min_at_us / 3600000000, max_at_us / 3600000000 FROM files
    UNION
    SELECT hour + 1, last FROM spans WHERE hour < last
)
SELECT hour FROM spans UNION SELECT hour FROM counted_hours ORDER BY hour;

INSERT INTO sqlite_sequence (name, seq)
SELECT 'hour_revisions', 0
WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'hour_revisions');

-- The numbers begin anew with this table, and say so by their epoch.
INSERT OR REPLACE INTO node VALUES ('epoch', lower(hex(randomblob(4))));
