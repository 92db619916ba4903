-- The rows of a part of a file that may be graded or corrected otherwise than now, as the columns of a
-- batch, with their number in the file and their grading: all but those that are graded as now, that
-- nothing corrected, and that nothing would correct.
SELECT file_row_number AS row, grading, {stored_row_columns}
FROM (
    FROM read_parquet({source}, hive_partitioning = false, file_row_number = true)
    UNION ALL BY NAME {later_columns}
)
WHERE file_row_number >= $first AND file_row_number < $end
    AND ($sensor_id IS NULL OR sensor_id = $sensor_id)
    AND (
        grading <> $grading
        OR coalesce(correction, '') <> ''
        OR sensor_id IN (SELECT label FROM corrected_sensors)
        OR source IN (SELECT label FROM corrected_sources)
    )
