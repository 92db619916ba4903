-- Readable from schema 1 on.

-- BLAKE2b-128 of the whole file; unknown for files of older versions until the first `check`.
ALTER TABLE files ADD COLUMN checksum BLOB;
ALTER TABLE quarantine ADD COLUMN checksum BLOB;

-- Backups that were made, newest kept, and which of them were restored and compared.
CREATE TABLE backups (
    name TEXT NOT NULL,
    target TEXT NOT NULL,
    made_at_us INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    proven_at_us INTEGER,
    PRIMARY KEY (target, name)
) STRICT, WITHOUT ROWID;
