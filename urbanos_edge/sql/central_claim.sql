-- A node says which life of it speaks, and how it is.
UPDATE nodes
SET epoch = %(claim)s,
    epoch_before = CASE WHEN epoch IS DISTINCT FROM %(claim)s THEN epoch ELSE epoch_before END,
    claimed_at = CASE WHEN epoch IS DISTINCT FROM %(claim)s THEN now() ELSE claimed_at END,
    name = %(name)s,
    schema_version = %(schema)s,
    program_version = %(program)s,
    clock_offset_s = %(clock_offset_s)s,
    last_seen_at = now()
WHERE node_id = %(node_id)s
