DROP VIEW merged_aggregates;
DROP FUNCTION refresh_grid_metadata(INTEGER, INTEGER);
DROP FUNCTION get_pollution_clusters_in_bounds(FLOAT, FLOAT, FLOAT, FLOAT, FLOAT);
DROP FUNCTION get_pollution_in_bounds(FLOAT, FLOAT, FLOAT, FLOAT, INTEGER);
