-- Partitions that were made stay: they are part of their tables.
DROP FUNCTION delete_old_partitions();
DROP FUNCTION create_daily_partition(DATE);
DROP FUNCTION create_daily_partitions(DATE, DATE);
DROP FUNCTION attach_partition(TEXT, DATE);
DROP FUNCTION partition_bound(TEXT, DATE);
DROP FUNCTION kept_since(TEXT);
