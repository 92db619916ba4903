ALTER TABLE quarantine DROP COLUMN max_at_us;
ALTER TABLE quarantine DROP COLUMN min_at_us;
