-- A page of the buckets of numbered hours, in order of the numbers; exact, in the quantities' units.
-- An hour that has none any more says so by one row without a cell.
SELECT
    make_timestamptz(hour::BIGINT * 3600000000) AS bucket_start,
    3600 AS bucket_s,
    'z18-x' || x18 || '-y' || y18 AS cell,
    quantity,
    coalesce(count, 0) AS count,
    coalesce(sum, 0) * 0.0001 AS sum,
    coalesce(sum_sq, 0) * 0.00000001 AS sum_sq,
    min::DECIMAL(38, 0) * 0.0001 AS min,
    max::DECIMAL(38, 0) * 0.0001 AS max,
    coalesce(flagged, 0) AS flagged,
    revision
FROM numbered_hours LEFT JOIN ({buckets}) USING (hour)
ORDER BY revision, quantity, cell
LIMIT $limit OFFSET $skipped
