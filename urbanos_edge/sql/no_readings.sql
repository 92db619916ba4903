-- The columns of a file of readings, where there is no file.
CREATE TEMP TABLE no_readings (
    sensor_id VARCHAR,
    timestamp TIMESTAMPTZ,
    received_at TIMESTAMPTZ,
    stored_at TIMESTAMPTZ,
    geometry GEOMETRY,
    lng DOUBLE,
    lat DOUBLE,
    grid_id VARCHAR,
    source VARCHAR,
    pollution_type VARCHAR,
    level TINYINT,
    aqi_value SMALLINT,
    {pollutant}_aqi SMALLINT,
    reported_aqi DOUBLE,
    {quantity} DOUBLE,
    flags VARCHAR,
    grading VARCHAR,
    correction VARCHAR,
    {quantity}_raw DOUBLE
)
