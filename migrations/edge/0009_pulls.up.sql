-- Readable from schema 8 on.

-- How each source that is fetched stands, so that a restart asks it no sooner, and for news only;
-- `fingerprint` tells whether it is still the same source, read in the same way.
CREATE TABLE pulls (
    name TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    etag TEXT NOT NULL,
    modified TEXT NOT NULL,
    succeeded_at_us INTEGER,
    failures INTEGER NOT NULL,
    failure TEXT,
    next_at_us INTEGER NOT NULL
) STRICT;
