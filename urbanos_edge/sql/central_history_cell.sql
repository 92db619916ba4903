-- Sums of a cell per bucket and quantity, in 1/10,000 of the unit. The nodes are found first by
-- where they measured the index: then every bucket is one look-up by the key.
SELECT
    (extract(
        EPOCH FROM CASE
            WHEN %(is_daily)s THEN date_trunc('day', a.bucket_start, %(zone)s) ELSE a.bucket_start
        END
    ) * 1000000)::BIGINT AS at_us,
    a.quantity,
    sum(a.count)::BIGINT AS count,
    (sum(a.sum) * 10000)::BIGINT AS sum,
    (min(a.min) * 10000)::BIGINT AS min,
    (max(a.max) * 10000)::BIGINT AS max,
    sum(a.flagged)::BIGINT AS flagged
FROM pollution_aggregates AS a
WHERE a.node_id = ANY (
        ARRAY(
            SELECT DISTINCT i.node_id
            FROM pollution_aggregates AS i
            WHERE i.quantity = 'aqi'
                AND i.bucket_start >= %(since)s
                AND i.bucket_start < %(until)s
                AND tile_center(18, i.x18, i.y18) && tile_center(18, %(x)s, %(y)s)
                AND i.cell = %(cell)s
        )
    )
    AND a.bucket_start = ANY (%(hours)s)
    AND a.bucket_start >= %(since)s
    AND a.bucket_start < %(until)s
    AND a.bucket_s = 3600
    AND a.quantity = ANY (%(quantities)s)
    AND a.cell = %(cell)s
GROUP BY 1, 2
