-- Put the buckets of `incoming` beside what is there of other hours.
INSERT INTO pollution_aggregates AS t
    (node_id, bucket_start, bucket_s, cell, quantity, count, sum, sum_sq, min, max, flagged, revision)
SELECT
    %(node_id)s, bucket_start, bucket_s, cell, quantity, count, sum, sum_sq, min, max, flagged, revision
FROM incoming
