-- Per slot of five minutes: its readings, and 128 bits over what they say, spelled and hashed as at the centre
-- (sql/central_reading_digests.sql).
SELECT
    timestamp_us // 300000000 AS slot,
    count(*) AS readings,
    bit_xor(md5_number(concat_ws(
        ' ',
        id,
        timestamp_us,
        decimals(lng, 10000000),
        decimals(lat, 10000000),
        whole(aqi_value),
        whole(level),
        whole({pollutant}_aqi),
        decimals(reported_aqi, 10000),
        decimals({quantity}, 10000),
        coalesce(nullif(flags, ''), '-'),
        coalesce(nullif(correction, ''), '-')
    ))) AS bits
FROM ({sent_readings})
GROUP BY slot
