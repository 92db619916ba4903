-- The readings of a sensor by their time; what two nodes heard is there once.
SELECT DISTINCT ON (p.timestamp)
    (extract(EPOCH FROM p.timestamp) * 1000000)::BIGINT AS timestamp_us,
    p.flags,
    p.aqi_value::INTEGER AS aqi,
    p.{quantity}
FROM pollution_data AS p
WHERE p.sensor_id = %(sensor_id)s
    AND p.timestamp >= %(since)s
    AND p.timestamp < %(until)s
    AND p.created_date BETWEEN %(since_day)s AND %(until_day)s
ORDER BY p.timestamp, p.received_at DESC
LIMIT %(limit)s
