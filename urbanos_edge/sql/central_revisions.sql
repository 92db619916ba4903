-- All buckets of a node in a span with their revisions, emptied ones too.
SELECT bucket_start, bucket_s, cell, quantity, count, flagged, revision
FROM pollution_aggregates
WHERE node_id = %(node_id)s AND bucket_start >= %(since)s AND bucket_start < %(until)s
