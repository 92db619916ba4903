-- Readings of an hour that the node has no more, or has at another time.
DELETE FROM pollution_data AS t
WHERE t.node_id = %(node_id)s
    AND t.timestamp >= %(since)s
    AND t.timestamp < %(until)s
    AND t.created_date = (%(since)s::TIMESTAMPTZ AT TIME ZONE 'UTC')::DATE
    AND NOT EXISTS (SELECT FROM incoming_readings AS i WHERE i.id = t.id)
