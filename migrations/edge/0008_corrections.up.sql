-- Readable from schema 8 on.

-- What is made of a sensor's own values: gain × value + shift, from a moment until another (none: for
-- good). A changed one is a new version; the older ones stay, for what they were applied to.
CREATE TABLE corrections (
    sensor_id TEXT NOT NULL,
    quantity TEXT NOT NULL,
    version INTEGER NOT NULL,
    gain REAL NOT NULL,
    shift REAL NOT NULL,
    valid_from_us INTEGER NOT NULL,
    valid_until_us INTEGER,
    basis TEXT NOT NULL,
    created_at_us INTEGER NOT NULL,
    PRIMARY KEY (sensor_id, quantity, version)
) STRICT, WITHOUT ROWID;
