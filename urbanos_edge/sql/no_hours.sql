-- The columns of quantities in aggregates, where no file has them.
SELECT
    NULL::INTEGER AS {quantity}_count,
    NULL::DECIMAL(38, 0) AS {quantity}_sum,
    NULL::DECIMAL(38, 0) AS {quantity}_sum_sq,
    NULL::BIGINT AS {quantity}_min,
    NULL::BIGINT AS {quantity}_max,
    NULL::INTEGER AS {quantity}_flagged
WHERE false
