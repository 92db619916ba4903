-- Take rows from the registered columns `anew` and the labels, as they are stored.
INSERT INTO regraded BY NAME
SELECT
    a.row,
    nullif(a.level, -1)::TINYINT AS level,
    nullif(a.aqi_value, -1)::SMALLINT AS aqi_value,
    nullif(a.pm25_aqi, -1)::SMALLINT AS pm25_aqi,
    nullif(a.pm10_aqi, -1)::SMALLINT AS pm10_aqi,
    nullif(a.o3_aqi, -1)::SMALLINT AS o3_aqi,
    nullif(a.no2_aqi, -1)::SMALLINT AS no2_aqi,
    nullif(a.so2_aqi, -1)::SMALLINT AS so2_aqi,
    nullif(a.co_aqi, -1)::SMALLINT AS co_aqi,
    nullif(a.pm1, 'nan'::DOUBLE) AS pm1,
    nullif(a.pm25, 'nan'::DOUBLE) AS pm25,
    nullif(a.pm10, 'nan'::DOUBLE) AS pm10,
    nullif(a.o3, 'nan'::DOUBLE) AS o3,
    nullif(a.no2, 'nan'::DOUBLE) AS no2,
    nullif(a.so2, 'nan'::DOUBLE) AS so2,
    nullif(a.co, 'nan'::DOUBLE) AS co,
    nullif(a.temperature, 'nan'::DOUBLE) AS temperature,
    nullif(a.humidity, 'nan'::DOUBLE) AS humidity,
    nullif(a.pressure, 'nan'::DOUBLE) AS pressure,
    $grading AS grading,
    {corrections}
FROM anew AS a
