(
    SELECT * EXCLUDE (geometry) REPLACE (
        rfc3339(timestamp) AS timestamp,
        rfc3339(received_at) AS received_at,
        rfc3339(stored_at) AS stored_at
    )
    FROM {export_rows}
)
