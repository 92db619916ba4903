-- Per hour: how many buckets it has, and 128 bits over all they say; the centre spells a bucket alike
-- and takes the same MD5 (sql/central_digests.sql). XOR, so that order plays no role.
SELECT
    hour,
    count(*) AS buckets,
    bit_xor(md5_number(concat_ws(
        ' ',
        hour::BIGINT * 3600,
        3600,
        'z18-x' || x18 || '-y' || y18,
        quantity,
        count,
        sum,
        sum_sq,
        coalesce(min::VARCHAR, '-'),
        coalesce(max::VARCHAR, '-'),
        flagged
    ))) AS bits
FROM ({buckets})
GROUP BY hour
