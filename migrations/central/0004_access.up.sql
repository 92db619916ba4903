-- A node reads and writes its own rows and nobody else's; readers read all. Partitions are reached
-- through their tables only: nothing is granted on them.
ALTER TABLE nodes ENABLE ROW LEVEL SECURITY;
ALTER TABLE pollution_data ENABLE ROW LEVEL SECURITY;
ALTER TABLE pollution_aggregates ENABLE ROW LEVEL SECURITY;

CREATE POLICY own_row ON nodes TO urbanos_node USING (role_name = current_user);
CREATE POLICY own_rows ON pollution_data TO urbanos_node
USING (node_id = (SELECT current_node()));
CREATE POLICY own_rows ON pollution_aggregates TO urbanos_node
USING (node_id = (SELECT current_node()));

CREATE POLICY all_rows ON nodes FOR SELECT TO urbanos_reader USING (TRUE);
CREATE POLICY all_rows ON pollution_data FOR SELECT TO urbanos_reader USING (TRUE);
CREATE POLICY all_rows ON pollution_aggregates FOR SELECT TO urbanos_reader USING (TRUE);

GRANT SELECT ON
    nodes, pollution_data, pollution_aggregates, grid_metadata, merged_aggregates, retention,
    schema_migrations
TO urbanos_reader;

GRANT SELECT ON nodes, retention, schema_migrations TO urbanos_node;
GRANT UPDATE (
    name, mode, epoch, epoch_before, schema_version, program_version, revision, clock_offset_s,
    claimed_at, last_seen_at, last_synced_at
) ON nodes TO urbanos_node;
GRANT SELECT, INSERT, UPDATE ON pollution_aggregates TO urbanos_node;
GRANT SELECT, INSERT, UPDATE, DELETE ON pollution_data TO urbanos_node;

REVOKE EXECUTE ON FUNCTION
    create_daily_partitions(DATE, DATE), create_daily_partition(DATE), attach_partition(TEXT, DATE),
    delete_old_partitions(), refresh_grid_metadata(INTEGER, INTEGER)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_daily_partitions(DATE, DATE) TO urbanos_node;
