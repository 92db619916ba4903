(
    SELECT *
    FROM {readings}
    WHERE timestamp >= make_timestamptz($since_us)
        AND timestamp < make_timestamptz($until_us)
        AND lng BETWEEN $min_lng AND $max_lng
        AND lat BETWEEN $min_lat AND $max_lat
        AND $sensor IN ('', sensor_id)
)
