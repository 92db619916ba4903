-- Take rows from the registered columns `anew` and the labels, as they are stored.
INSERT INTO regraded BY NAME
SELECT
    a.row,
    nullif(a.level, -1)::TINYINT AS level,
    nullif(a.aqi_value, -1)::SMALLINT AS aqi_value,
    nullif(a.{pollutant}_aqi, -1)::SMALLINT AS {pollutant}_aqi,
    nullif(a.{quantity}, 'nan'::DOUBLE) AS {quantity},
    a.is_impossible,
    $grading AS grading,
    {corrections}
FROM anew AS a
