-- Files with readings that something else than $grading graded, by what their footers say.
SELECT file_name
FROM parquet_metadata($files)
WHERE path_in_schema = 'grading'
GROUP BY file_name
HAVING NOT bool_and(stats_min_value = $grading AND stats_max_value = $grading)
