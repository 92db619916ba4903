-- Per hour of a node: how many of its buckets count, the highest revision, and 128 bits over all
-- that the buckets say, as 32 hexadecimal digits: the XOR of each bucket's MD5, so that order plays
-- no role and days are the XOR of their hours. The text of a bucket is the same at the node.
SELECT
    bucket_start,
    buckets,
    revision,
    lpad(to_hex(substring(bits FOR 64)::BIT(64)::BIGINT), 16, '0')
    || lpad(to_hex(substring(bits FROM 65)::BIT(64)::BIGINT), 16, '0') AS digest
FROM (
    SELECT
        bucket_start,
        count(*) FILTER (WHERE says_something) AS buckets,
        max(revision) AS revision,
        coalesce(
            bit_xor(('x' || md5(bucket))::BIT(128)) FILTER (WHERE says_something), 0::BIT(128)
        ) AS bits
    FROM (
        SELECT
            bucket_start,
            revision,
            count > 0 OR flagged > 0 AS says_something,
            concat_ws(
                ' ',
                extract(EPOCH FROM bucket_start)::BIGINT,
                bucket_s,
                cell,
                quantity,
                count,
                round(sum * 10000),
                round(sum_sq * 100000000),
                coalesce(round(min * 10000)::TEXT, '-'),
                coalesce(round(max * 10000)::TEXT, '-'),
                flagged
            ) AS bucket
        FROM pollution_aggregates
        WHERE node_id = %(node_id)s
            AND bucket_start >= %(since)s
            AND bucket_start < %(until)s
    ) AS told
    GROUP BY bucket_start
) AS hours
ORDER BY bucket_start
