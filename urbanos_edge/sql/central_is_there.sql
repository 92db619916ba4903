-- Whether the centre has anything of some hours of a node.
SELECT EXISTS (
    SELECT
    FROM pollution_aggregates
    WHERE node_id = %(node_id)s
        AND bucket_start = ANY (%(hours)s::TIMESTAMPTZ[])
        AND bucket_start BETWEEN %(first)s AND %(last)s
)
