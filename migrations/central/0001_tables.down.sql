-- The extension and the roles stay: other databases and schemas may use them.
DROP TABLE retention;
DROP TABLE pollution_aggregates;
DROP TABLE grid_metadata;
DROP TABLE pollution_data;
DROP FUNCTION current_node();
DROP TABLE nodes;
DROP FUNCTION tile_bounds(INTEGER, INTEGER, INTEGER);
DROP FUNCTION tile_center(INTEGER, INTEGER, INTEGER);
DROP FUNCTION longitude_of_column(INTEGER, FLOAT);
DROP FUNCTION latitude_of_row(INTEGER, FLOAT);
