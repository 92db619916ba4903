DROP TABLE ignored;
DROP TABLE inbox_candidates;
DROP TABLE inbox;
DELETE FROM node WHERE name = 'password_salt';
DROP TABLE sources;
