-- A stored file with what is in `regraded` in place of what these rows had, in the order it has. Flags
-- stay as they were settled, but for the first one, `range`: it follows the values.
COPY (
    SELECT stored.* EXCLUDE (file_row_number) REPLACE (
        IF(anew.row IS NULL, stored.level, anew.level) AS level,
        IF(anew.row IS NULL, stored.aqi_value, anew.aqi_value) AS aqi_value,
        IF(anew.row IS NULL, stored.{pollutant}_aqi, anew.{pollutant}_aqi) AS {pollutant}_aqi,
        IF(anew.row IS NULL, stored.{quantity}, anew.{quantity}) AS {quantity},
        IF(
            anew.row IS NULL,
            stored.flags,
            concat_ws(
                ',',
                IF(anew.is_impossible, 'range', NULL),
                nullif(regexp_replace(stored.flags, '^range,?', ''), '')
            )
        ) AS flags,
        IF(anew.row IS NULL, stored.grading, anew.grading) AS grading,
        IF(anew.row IS NULL, stored.correction, anew.correction) AS correction,
        IF(anew.row IS NULL, stored.{quantity}_raw, anew.{quantity}_raw) AS {quantity}_raw
    )
    FROM (
        FROM read_parquet({source}, hive_partitioning = false, file_row_number = true)
        UNION ALL BY NAME {later_columns}
    ) AS stored
    LEFT JOIN regraded AS anew ON anew.row = stored.file_row_number
    ORDER BY stored.file_row_number
) TO {target} (FORMAT parquet, COMPRESSION zstd, GEOPARQUET_VERSION 'BOTH')
