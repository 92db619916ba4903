-- The buckets of numbered hours as lines of PostgreSQL's COPY, in the centre's units: a value per
-- hour, and how many lines it has. Those of a quantity lie together on the centre's pages then.
SELECT
    encode(string_agg(line || chr(10), '' ORDER BY quantity, x18, y18)) AS lines,
    count(*) AS buckets
FROM (
    SELECT
        hour,
        quantity,
        x18,
        y18,
        concat_ws(
            chr(9),
            strftime(make_timestamp(hour::BIGINT * 3600000000), '%Y-%m-%d %H:%M:%S+00'),
            3600,
            'z18-x' || x18 || '-y' || y18,
            quantity,
            count,
            sum || 'e-4',
            sum_sq || 'e-8',
            coalesce(min || 'e-4', '\N'),
            coalesce(max || 'e-4', '\N'),
            flagged,
            revision
        ) AS line
    FROM ({buckets}) JOIN numbered_hours USING (hour)
)
GROUP BY hour
ORDER BY hour
