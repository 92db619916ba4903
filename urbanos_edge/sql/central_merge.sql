-- Put the buckets of `incoming` in place of older ones. An equal revision with other numbers is
-- taken as well: the centre's row is not what the node sent. What is there already changes no row.
{central_put}
ON CONFLICT (node_id, bucket_start, bucket_s, cell, quantity) DO UPDATE SET
    count = excluded.count,
    sum = excluded.sum,
    sum_sq = excluded.sum_sq,
    min = excluded.min,
    max = excluded.max,
    flagged = excluded.flagged,
    revision = excluded.revision
WHERE excluded.revision > t.revision
    OR (
        excluded.revision = t.revision
        AND (t.count, t.sum, t.sum_sq, t.min, t.max, t.flagged) IS DISTINCT FROM (
            excluded.count,
            excluded.sum,
            excluded.sum_sq,
            excluded.min,
            excluded.max,
            excluded.flagged
        )
    )
