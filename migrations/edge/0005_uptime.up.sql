-- Readable from schema 4 on.

-- Seconds that the node was ready, by UTC day; `since_us` is when the process began that first
-- counted in that day.
CREATE TABLE uptime (
    day TEXT PRIMARY KEY,
    since_us INTEGER NOT NULL,
    ready_s REAL NOT NULL
) STRICT, WITHOUT ROWID;
