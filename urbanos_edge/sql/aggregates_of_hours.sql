-- Aggregates from the files that answer for their hours.
SELECT aggregates.* EXCLUDE (filename)
FROM read_parquet({files}, filename = true, hive_partitioning = false) AS aggregates
SEMI JOIN {hours} USING (filename, hour)
