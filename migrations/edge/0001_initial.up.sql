-- Readable from schema 1 on.

CREATE TABLE node (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Accepted readings that are not in the store yet. `seq` is the order of arrival and never reused.
CREATE TABLE spool (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    readings INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;

-- What could not become a reading, newest kept.
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rejected_at_us INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;

-- The live files of the store. A file that is not listed here does not exist for any reader.
CREATE TABLE files (
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
    max_lat REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX files_by_day ON files (day);

-- Files set aside because they were missing or damaged, with what they were said to hold.
CREATE TABLE quarantine (
    path TEXT PRIMARY KEY,
    day TEXT NOT NULL,
    rows INTEGER NOT NULL,
    found_at_us INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sensors (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    lat REAL,
    lng REAL,
    source TEXT NOT NULL,
    registered_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    scope TEXT NOT NULL CHECK (scope IN ('sensor', 'gateway', 'operator', 'admin', 'sync')),
    sensor_id TEXT,
    name TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    revoked_at_us INTEGER,
    CHECK ((scope = 'sensor') = (sensor_id IS NOT NULL))
) STRICT;

-- Readings since the first start, by what became of them.
CREATE TABLE totals (
    outcome TEXT PRIMARY KEY,
    readings INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
