-- How large each table is, its partitions, indexes and out-of-line values together.
CREATE VIEW table_sizes AS
SELECT
    n.nspname AS schemaname,
    c.relname AS tablename,
    pg_size_pretty(total.bytes) AS size,
    total.bytes,
    total.partitions
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT
        pg_total_relation_size(c.oid) + coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::BIGINT
            AS bytes,
        count(*) AS partitions
    FROM pg_inherits AS i
    WHERE i.inhparent = c.oid
) AS total
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY total.bytes DESC;

-- The view of slow statements needs an extension that the server must have loaded at its start. It
-- is made here where that is so, else by the first migration after it.
CREATE FUNCTION create_slow_queries_view()
RETURNS BOOLEAN
LANGUAGE plpgsql
SET search_path = public, pg_temp
AS $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
    PERFORM FROM pg_stat_statements LIMIT 1;
    CREATE OR REPLACE VIEW slow_queries AS
    SELECT query, calls, total_exec_time, mean_exec_time, max_exec_time
    FROM pg_stat_statements
    WHERE mean_exec_time > 100
    ORDER BY mean_exec_time DESC
    LIMIT 20;
    RETURN TRUE;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'no view of slow queries: %', SQLERRM
    USING HINT = 'Add pg_stat_statements to shared_preload_libraries, then run central migrate.';
    RETURN FALSE;
END;
$$;

REVOKE EXECUTE ON FUNCTION create_slow_queries_view() FROM PUBLIC;
GRANT SELECT ON table_sizes TO urbanos_reader;
