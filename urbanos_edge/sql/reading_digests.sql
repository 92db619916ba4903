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
        whole(pm25_aqi),
        whole(pm10_aqi),
        whole(o3_aqi),
        whole(no2_aqi),
        whole(so2_aqi),
        whole(co_aqi),
        decimals(reported_aqi, 10000),
        decimals(pm1, 10000),
        decimals(pm25, 10000),
        decimals(pm10, 10000),
        decimals(o3, 10000),
        decimals(no2, 10000),
        decimals(so2, 10000),
        decimals(co, 10000),
        decimals(temperature, 10000),
        decimals(humidity, 10000),
        decimals(pressure, 10000),
        coalesce(nullif(flags, ''), '-'),
        coalesce(nullif(correction, ''), '-')
    ))) AS bits
FROM ({sent_readings})
GROUP BY slot
