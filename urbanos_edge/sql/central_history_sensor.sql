-- The same of a sensor, from its readings; what two nodes heard counts once.
SELECT
    (extract(
        EPOCH FROM CASE
            WHEN %(is_daily)s THEN date_trunc('day', d.timestamp, %(zone)s)
            ELSE date_bin(make_interval(secs => %(bucket_s)s), d.timestamp, 'epoch')
        END
    ) * 1000000)::BIGINT AS at_us,
    q.name AS quantity,
    count(*) FILTER (WHERE d.flags = '') AS count,
    (sum(q.units) FILTER (WHERE d.flags = ''))::BIGINT AS sum,
    min(q.units) FILTER (WHERE d.flags = '') AS min,
    max(q.units) FILTER (WHERE d.flags = '') AS max,
    count(*) FILTER (WHERE d.flags <> '') AS flagged
FROM (
    SELECT DISTINCT ON (p.timestamp) *
    FROM pollution_data AS p
    WHERE p.sensor_id = %(sensor_id)s
        AND p.timestamp >= %(since)s
        AND p.timestamp < %(until)s
        AND p.created_date BETWEEN %(since_day)s AND %(until_day)s
    ORDER BY p.timestamp, p.received_at DESC
) AS d
CROSS JOIN LATERAL (
    SELECT v.name, round(v.value::NUMERIC * 10000)::BIGINT AS units
    FROM (VALUES
        ('aqi', d.aqi_value),
        ('{quantity}', d.{quantity})
    ) AS v(name, value)
    WHERE v.value IS NOT NULL AND v.name = ANY (%(quantities)s)
) AS q
GROUP BY 1, 2
