-- How many rows of a file stand after a later one of the same sensor at the same place.
SELECT count(*) FILTER (sensor_id = before.sensor_id AND lng = before.lng AND lat = before.lat
    AND timestamp < before.timestamp)
FROM (
    SELECT
        sensor_id, lng, lat, timestamp,
        lag({'sensor_id': sensor_id, 'lng': lng, 'lat': lat, 'timestamp': timestamp})
            OVER (ORDER BY file_row_number) AS before
    FROM read_parquet(?, file_row_number = true)
)
