-- A stored file with what is in `regraded` in place of what these rows had, in the order it has.
COPY (
    SELECT stored.* EXCLUDE (file_row_number) REPLACE (
        IF(anew.row IS NULL, stored.level, anew.level) AS level,
        IF(anew.row IS NULL, stored.aqi_value, anew.aqi_value) AS aqi_value,
        IF(anew.row IS NULL, stored.pm25_aqi, anew.pm25_aqi) AS pm25_aqi,
        IF(anew.row IS NULL, stored.pm10_aqi, anew.pm10_aqi) AS pm10_aqi,
        IF(anew.row IS NULL, stored.o3_aqi, anew.o3_aqi) AS o3_aqi,
        IF(anew.row IS NULL, stored.no2_aqi, anew.no2_aqi) AS no2_aqi,
        IF(anew.row IS NULL, stored.so2_aqi, anew.so2_aqi) AS so2_aqi,
        IF(anew.row IS NULL, stored.co_aqi, anew.co_aqi) AS co_aqi,
        IF(anew.row IS NULL, stored.pm1, anew.pm1) AS pm1,
        IF(anew.row IS NULL, stored.pm25, anew.pm25) AS pm25,
        IF(anew.row IS NULL, stored.pm10, anew.pm10) AS pm10,
        IF(anew.row IS NULL, stored.o3, anew.o3) AS o3,
        IF(anew.row IS NULL, stored.no2, anew.no2) AS no2,
        IF(anew.row IS NULL, stored.so2, anew.so2) AS so2,
        IF(anew.row IS NULL, stored.co, anew.co) AS co,
        IF(anew.row IS NULL, stored.temperature, anew.temperature) AS temperature,
        IF(anew.row IS NULL, stored.humidity, anew.humidity) AS humidity,
        IF(anew.row IS NULL, stored.pressure, anew.pressure) AS pressure,
        IF(anew.row IS NULL, stored.grading, anew.grading) AS grading,
        IF(anew.row IS NULL, stored.correction, anew.correction) AS correction,
        IF(anew.row IS NULL, stored.pm1_raw, anew.pm1_raw) AS pm1_raw,
        IF(anew.row IS NULL, stored.pm25_raw, anew.pm25_raw) AS pm25_raw,
        IF(anew.row IS NULL, stored.pm10_raw, anew.pm10_raw) AS pm10_raw,
        IF(anew.row IS NULL, stored.o3_raw, anew.o3_raw) AS o3_raw,
        IF(anew.row IS NULL, stored.no2_raw, anew.no2_raw) AS no2_raw,
        IF(anew.row IS NULL, stored.so2_raw, anew.so2_raw) AS so2_raw,
        IF(anew.row IS NULL, stored.co_raw, anew.co_raw) AS co_raw,
        IF(anew.row IS NULL, stored.temperature_raw, anew.temperature_raw) AS temperature_raw,
        IF(anew.row IS NULL, stored.humidity_raw, anew.humidity_raw) AS humidity_raw,
        IF(anew.row IS NULL, stored.pressure_raw, anew.pressure_raw) AS pressure_raw
    )
    FROM (
        FROM read_parquet({source}, hive_partitioning = false, file_row_number = true)
        UNION ALL BY NAME {later_columns}
    ) AS stored
    LEFT JOIN regraded AS anew ON anew.row = stored.file_row_number
    ORDER BY stored.file_row_number
) TO {target} (FORMAT parquet, COMPRESSION zstd, GEOPARQUET_VERSION 'BOTH')
