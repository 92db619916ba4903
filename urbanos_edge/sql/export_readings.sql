(
    FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
    UNION ALL BY NAME {later_columns}
)
