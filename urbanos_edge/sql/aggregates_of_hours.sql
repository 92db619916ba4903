-- Aggregates from the files that answer for their hours.
SELECT aggregates.* EXCLUDE (filename)
FROM read_parquet({files}, filename = true, hive_partitioning = false, union_by_name = true) AS aggregates
SEMI JOIN {hours} USING (filename, hour)
