-- Rows of one day, from the registered columns `arrived` and the label tables, as they are stored.
-- Absent numbers arrive as NaN, absent indexes as -1. They come by sensor and time and stay that way
-- within a row group; sorting many of them again would be a third of the work. What corrections add
-- differs with the batch.
COPY (
    SELECT
        s.label AS sensor_id,
        make_timestamptz(a.timestamp_us) AS timestamp,
        make_timestamptz(a.received_us) AS received_at,
        make_timestamptz($stored_us) AS stored_at,
        ST_Point(a.lng, a.lat) AS geometry,
        a.lng,
        a.lat,
        format('z12-x{}-y{}', a.x18 >> 6, a.y18 >> 6) AS grid_id,
        o.label AS source,
        p.label AS pollution_type,
        nullif(a.level, -1)::TINYINT AS level,
        nullif(a.aqi_value, -1)::SMALLINT AS aqi_value,
        nullif(a.{pollutant}_aqi, -1)::SMALLINT AS {pollutant}_aqi,
        nullif(a.reported_aqi, 'nan'::DOUBLE) AS reported_aqi,
        nullif(a.{quantity}, 'nan'::DOUBLE) AS {quantity},
        f.label AS flags,
        $grading AS grading,
        {corrections}
    FROM arrived AS a
    JOIN labels AS s ON s.number = a.sensor
    JOIN labels AS o ON o.number = a.source
    JOIN labels AS p ON p.number = a.pollution_type
    JOIN flag_labels AS f ON f.number = a.flags
    {order}
) TO {target} (FORMAT parquet, COMPRESSION zstd, GEOPARQUET_VERSION 'BOTH')
