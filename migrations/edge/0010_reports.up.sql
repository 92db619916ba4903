-- Readable from schema 9 on.

-- What people say they smell or see. The place is rounded before it comes here, and nothing tells
-- who said it. `note` may be empty; `decided_at_us` is NULL while nobody has looked at it.
CREATE TABLE reports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected')),
    kind TEXT NOT NULL,
    note TEXT NOT NULL,
    lat REAL NOT NULL,
    lng REAL NOT NULL,
    at_us INTEGER NOT NULL,
    received_at_us INTEGER NOT NULL,
    decided_at_us INTEGER
) STRICT;

CREATE INDEX reports_by_state ON reports (state, at_us);
