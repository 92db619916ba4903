DROP TABLE totals;
DROP TABLE tokens;
DROP TABLE sensors;
DROP TABLE quarantine;
DROP TABLE files;
DROP TABLE dead_letters;
DROP TABLE spool;
DROP TABLE node;
