-- Readable from schema 4 on.

-- Hours (counted from 1970) that the centre may not have as they are here; `revision` tells one
-- change from the next. Filled once the node has had a centre.
CREATE TABLE owed_hours (
    hour INTEGER PRIMARY KEY,
    since_us INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT;
