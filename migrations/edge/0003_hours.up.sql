-- Readable from schema 3 on.

-- The files of the hourly aggregates, as `files` lists those of the readings.
CREATE TABLE hour_files (
    path TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    min_at_us INTEGER NOT NULL,
    max_at_us INTEGER NOT NULL,
    max_received_us INTEGER NOT NULL,
    min_lng REAL NOT NULL,
    min_lat REAL NOT NULL,
    max_lng REAL NOT NULL,
    max_lat REAL NOT NULL,
    checksum BLOB
) STRICT, WITHOUT ROWID;

-- Which file answers for an hour (counted from 1970); an hour without readings has none.
CREATE TABLE counted_hours (
    hour INTEGER PRIMARY KEY,
    path TEXT NOT NULL
) STRICT;

-- Hours whose readings changed since they were counted; `revision` tells one change from the next.
CREATE TABLE changed_hours (
    hour INTEGER PRIMARY KEY,
    since_us INTEGER NOT NULL,
    changed_us INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;

-- What an older version stored was never counted.
INSERT INTO changed_hours (hour, since_us, changed_us, revision)
WITH RECURSIVE spans (hour, last) AS (
    SELECT min_at_us / 3600000000, max_at_us / 3600000000 FROM files
    UNION
    SELECT hour + 1, last FROM spans WHERE hour < last
)
SELECT DISTINCT hour, 0, 0, 1 FROM spans;
