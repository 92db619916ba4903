-- What the centre knows of a node whose turn begins: who claimed it last, and how long ago it spoke.
SELECT
    epoch,
    extract(EPOCH FROM now() - last_seen_at)::FLOAT AS silent_s,
    revision,
    mode,
    kept_since('pollution_aggregates') AS aggregates_since,
    kept_since('pollution_data') AS readings_since
FROM nodes
WHERE node_id = %(node_id)s
FOR UPDATE
