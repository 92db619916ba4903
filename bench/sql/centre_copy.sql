-- The aggregates of a region under another node, some columns of zoom 18 further east.
INSERT INTO pollution_aggregates
    (node_id, bucket_start, bucket_s, cell, quantity, count, sum, sum_sq, min, max, flagged, revision)
SELECT
    %(node_id)s,
    bucket_start,
    bucket_s,
    'z18-x' || (x18 + %(columns)s) || '-y' || y18,
    quantity,
    count,
    sum,
    sum_sq,
    min,
    max,
    flagged,
    revision
FROM region
ORDER BY bucket_start, quantity, cell
