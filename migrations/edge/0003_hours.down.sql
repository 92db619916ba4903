DROP TABLE changed_hours;
DROP TABLE counted_hours;
DROP TABLE hour_files;
