-- The rows of a file that are graded or corrected anew, by their number in it.
CREATE TEMP TABLE regraded (
    row BIGINT,
    level TINYINT,
    aqi_value SMALLINT,
    {pollutant}_aqi SMALLINT,
    {quantity} DOUBLE,
    is_impossible BOOLEAN,
    grading VARCHAR,
    correction VARCHAR,
    {quantity}_raw DOUBLE
)
