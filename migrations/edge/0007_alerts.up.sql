-- Readable from schema 6 on.

-- What alerts are raised for; `rule` is JSON that was checked.
CREATE TABLE alert_rules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created_at_us INTEGER NOT NULL,
    rule BLOB NOT NULL
) STRICT;

-- Alerts that are raised, and the newest of those that were cleared; `alert` is what is shown.
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule_id INTEGER NOT NULL,
    sensor_id TEXT NOT NULL,
    raised_at_us INTEGER NOT NULL,
    cleared_at_us INTEGER,
    alert BLOB NOT NULL
) STRICT;

-- None is raised twice without having been cleared.
CREATE UNIQUE INDEX alerts_raised ON alerts (rule_id, sensor_id) WHERE cleared_at_us IS NULL;

CREATE INDEX alerts_cleared ON alerts (cleared_at_us, id) WHERE cleared_at_us IS NOT NULL;

-- Since when a sensor's readings have met what would raise its alert, or clear a raised one.
CREATE TABLE alert_runs (
    rule_id INTEGER NOT NULL,
    sensor_id TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    PRIMARY KEY (rule_id, sensor_id)
) STRICT, WITHOUT ROWID;

-- What receivers have not confirmed yet.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    receiver TEXT NOT NULL,
    event_id TEXT NOT NULL,
    body BLOB NOT NULL,
    posted_us INTEGER NOT NULL
) STRICT;

CREATE INDEX outbox_by_receiver ON outbox (receiver, id);
