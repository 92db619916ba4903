-- Readable from schema 11 on.

-- When the readings of a file that was set aside were measured; unknown where an older version did it.
ALTER TABLE quarantine ADD COLUMN min_at_us INTEGER;
ALTER TABLE quarantine ADD COLUMN max_at_us INTEGER;
