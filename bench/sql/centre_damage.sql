-- One wrong bucket in each hour.
UPDATE pollution_aggregates AS a SET sum = a.sum + 1
FROM (
    SELECT bucket_start, min(cell) AS cell
    FROM pollution_aggregates
    WHERE quantity = 'aqi' AND count > 0
    GROUP BY bucket_start
) AS one
WHERE a.quantity = 'aqi' AND a.bucket_start = one.bucket_start AND a.cell = one.cell
