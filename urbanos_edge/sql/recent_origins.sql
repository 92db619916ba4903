-- Who measured where in `recent_rows`, numbered from 0.
CREATE OR REPLACE TEMP TABLE recent_origins AS
SELECT row_number() OVER () - 1 AS origin, *
FROM (SELECT DISTINCT sensor_id, source, pollution_type, lng, lat, correction FROM recent_rows)
