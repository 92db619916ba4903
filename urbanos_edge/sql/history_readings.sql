-- The oldest of some rows that say anything of the wanted quantities.
SELECT timestamp_us, flags, COLUMNS('^({quantities})$')
FROM ({rows})
WHERE coalesce({names}) IS NOT NULL
ORDER BY timestamp_us
LIMIT $limit
