-- Per slot of five minutes of a node: its readings at the centre, and 128 bits over what they say; as the digests of
-- buckets are made. A value counts to four decimals, a place to seven; the node rounds by the very
-- same operations.
SELECT
    slot,
    readings,
    lpad(to_hex(substring(bits FOR 64)::BIT(64)::BIGINT), 16, '0')
    || lpad(to_hex(substring(bits FROM 65)::BIT(64)::BIGINT), 16, '0') AS digest
FROM (
    SELECT
        date_bin('5 minutes', timestamp, '1970-01-01 00:00:00+00') AS slot,
        count(*) AS readings,
        bit_xor(('x' || md5(concat_ws(
            ' ',
            id,
            (extract(EPOCH FROM timestamp) * 1000000)::BIGINT,
            floor(ST_X(location) * 10000000 + 0.5)::BIGINT,
            floor(ST_Y(location) * 10000000 + 0.5)::BIGINT,
            coalesce(aqi_value::BIGINT::TEXT, '-'),
            coalesce(level::TEXT, '-'),
            coalesce({pollutant}_aqi::BIGINT::TEXT, '-'),
            coalesce((CASE WHEN abs(reported_aqi) < 9e14 THEN floor(reported_aqi * 10000 + 0.5)::BIGINT END)::TEXT, '-'),
            coalesce((CASE WHEN abs({quantity}) < 9e14 THEN floor({quantity} * 10000 + 0.5)::BIGINT END)::TEXT, '-'),
            coalesce(nullif(flags, ''), '-'),
            coalesce(nullif(correction, ''), '-')
        )))::BIT(128)) AS bits
    FROM pollution_data
    WHERE node_id = %(node_id)s
        AND timestamp >= %(since)s
        AND timestamp < %(until)s
        AND created_date >= (%(since)s::TIMESTAMPTZ AT TIME ZONE 'UTC')::DATE
        AND created_date <= (%(until)s::TIMESTAMPTZ AT TIME ZONE 'UTC')::DATE
    GROUP BY 1
) AS slots
ORDER BY slot
