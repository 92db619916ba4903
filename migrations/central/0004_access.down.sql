GRANT EXECUTE ON FUNCTION
    create_daily_partitions(DATE, DATE), create_daily_partition(DATE), attach_partition(TEXT, DATE),
    delete_old_partitions(), refresh_grid_metadata(INTEGER, INTEGER)
TO PUBLIC;
REVOKE EXECUTE ON FUNCTION create_daily_partitions(DATE, DATE) FROM urbanos_node;

REVOKE ALL ON
    nodes, pollution_data, pollution_aggregates, grid_metadata, merged_aggregates, retention,
    schema_migrations
FROM urbanos_node, urbanos_reader;

DROP POLICY all_rows ON pollution_aggregates;
DROP POLICY all_rows ON pollution_data;
DROP POLICY all_rows ON nodes;
DROP POLICY own_rows ON pollution_aggregates;
DROP POLICY own_rows ON pollution_data;
DROP POLICY own_row ON nodes;

ALTER TABLE pollution_aggregates DISABLE ROW LEVEL SECURITY;
ALTER TABLE pollution_data DISABLE ROW LEVEL SECURITY;
ALTER TABLE nodes DISABLE ROW LEVEL SECURITY;
