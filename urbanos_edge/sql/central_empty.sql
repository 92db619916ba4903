-- Buckets of the hours just sent that the node has no more: they stay with count 0 and the revision of
-- their hour, so that nothing older can bring them back.
UPDATE pollution_aggregates AS t
SET count = 0, sum = 0, sum_sq = 0, min = NULL, max = NULL, flagged = 0, revision = sent.revision
FROM unnest(%(hours)s::TIMESTAMPTZ[], %(revisions)s::BIGINT[]) AS sent (bucket_start, revision)
WHERE t.node_id = %(node_id)s
    AND t.bucket_start = sent.bucket_start
    AND t.bucket_start BETWEEN %(first)s AND %(last)s
    AND (t.count > 0 OR t.flagged > 0)
    AND NOT EXISTS (
        SELECT FROM incoming AS i
        WHERE (i.bucket_start, i.bucket_s, i.cell, i.quantity)
            = (t.bucket_start, t.bucket_s, t.cell, t.quantity)
    )
