-- Readable from schema 5 on.

-- Who is believed, and by what; a sender is what a device calls itself, claimed for a sensor here.
CREATE TABLE sources (
    sender TEXT PRIMARY KEY,
    sensor_id TEXT NOT NULL REFERENCES sensors (id) ON DELETE CASCADE,
    protocol TEXT NOT NULL,
    rule TEXT NOT NULL CHECK (rule IN ('token', 'basic', 'address', 'open')),
    network TEXT,
    user TEXT,
    proof BLOB,
    claimed_at_us INTEGER NOT NULL,
    CHECK ((rule = 'address') = (network IS NOT NULL)),
    CHECK ((rule = 'basic') = (user IS NOT NULL AND proof IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX sources_by_sensor ON sources (sensor_id);

-- What passwords are hashed with.
INSERT INTO node VALUES ('password_salt', lower(hex(randomblob(16))));

-- Senders nobody has claimed; `kept` and `bytes` count what `inbox_candidates` holds of each.
CREATE TABLE inbox (
    sender TEXT PRIMARY KEY,
    protocol TEXT NOT NULL,
    address TEXT NOT NULL,
    first_seen_us INTEGER NOT NULL,
    last_seen_us INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    dropped INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX inbox_by_silence ON inbox (last_seen_us);

-- What they sent; `is_trusted` says whether the node stood by its clock at the arrival.
CREATE TABLE inbox_candidates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sender TEXT NOT NULL REFERENCES inbox (sender) ON DELETE CASCADE,
    arrived_us INTEGER NOT NULL,
    is_trusted INTEGER NOT NULL,
    candidate BLOB NOT NULL
) STRICT;

CREATE INDEX inbox_candidates_by_sender ON inbox_candidates (sender, id);

-- Senders that are not to be heard, the newest kept.
CREATE TABLE ignored (
    sender TEXT PRIMARY KEY,
    ignored_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
