DROP TABLE backups;
ALTER TABLE quarantine DROP COLUMN checksum;
ALTER TABLE files DROP COLUMN checksum;
