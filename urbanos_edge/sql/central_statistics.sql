-- What all nodes measured in a tile in some hours: count, mean and highest index, and the last hour.
SELECT
    coalesce(sum(a.count), 0)::BIGINT AS counted,
    (sum(a.sum) / sum(a.count))::FLOAT AS aqi_avg,
    max(a.max)::INTEGER AS aqi_max,
    (extract(EPOCH FROM max(a.bucket_start)) * 1000000)::BIGINT AS last_us
FROM pollution_aggregates AS a
WHERE a.quantity = 'aqi'
    AND a.count > 0
    AND a.bucket_start >= %(since_hour)s
    AND a.bucket_start < %(until_hour)s
    AND tile_center(18, a.x18, a.y18)
        && ST_MakeEnvelope(%(west)s, %(south)s, %(east)s, %(north)s, 4326)
    AND a.x18 >> %(shift)s = %(x)s
    AND a.y18 >> %(shift)s = %(y)s
