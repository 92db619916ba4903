DROP VIEW IF EXISTS slow_queries;
DROP FUNCTION create_slow_queries_view();
DROP VIEW table_sizes;
