-- What files hold, whatever the order of their rows: how many, and the sum of the rows' hashes;
-- and the Hilbert values below which the given shares of the rows lie.
SELECT
    count(*) AS rows,
    sum(hash(r)) AS checksum,
    quantile_disc(
        ST_Hilbert(
            r.lng,
            r.lat,
            {'min_x': $min_lng, 'min_y': $min_lat, 'max_x': $max_lng, 'max_y': $max_lat}::BOX_2D
        ),
        $shares::DOUBLE[]
    ) AS bounds
FROM read_parquet($files, hive_partitioning = false, union_by_name = true) AS r
