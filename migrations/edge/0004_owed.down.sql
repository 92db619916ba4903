DROP TABLE owed_hours;
DELETE FROM node WHERE name = 'has_centre';
