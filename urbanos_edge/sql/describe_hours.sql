-- What the manifest says of a file of aggregates, from the file itself.
SELECT
    count(*) AS rows,
    min(hour) * 3600000000 AS min_at_us,
    max(last_at_us) AS max_at_us,
    max(last_at_us) AS max_received_us,
    min(lng) AS min_lng,
    min(lat) AS min_lat,
    max(lng) AS max_lng,
    max(lat) AS max_lat
FROM read_parquet(?)
