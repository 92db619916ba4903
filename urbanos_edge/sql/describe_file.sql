-- What the manifest says of a file, from the file itself.
SELECT
    count(*) AS rows,
    epoch_us(min(timestamp)) AS min_at_us,
    epoch_us(max(timestamp)) AS max_at_us,
    epoch_us(max(received_at)) AS max_received_us,
    min(lng) AS min_lng,
    min(lat) AS min_lat,
    max(lng) AS max_lng,
    max(lat) AS max_lat
FROM read_parquet(?)
