-- The view `hourly` merged over the sensors of a cell, a row per hour, cell and quantity. Integers of
-- 1/10,000 of the unit, their squares of its square; `min` and `max` are null where none counts.
WITH merged AS MATERIALIZED (
    SELECT
        hour,
        x18,
        y18,
        sum(COLUMNS('^.*_(count|flagged)$'))::INTEGER AS '\0',
        sum(COLUMNS('^.*_(sum|sum_sq)$')) AS '\0',
        min(COLUMNS('^.*_min$')) AS '\0',
        max(COLUMNS('^.*_max$')) AS '\0'
    FROM hourly
    GROUP BY ALL
)
{of_quantities}
