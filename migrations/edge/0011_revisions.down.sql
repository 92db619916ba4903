DROP TABLE hour_revisions;
