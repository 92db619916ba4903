-- Where the readings of one transaction are copied to: as in pollution_data, with the place in
-- degrees.
CREATE TEMPORARY TABLE incoming_readings (
    id UUID,
    grid_id TEXT,
    lng FLOAT,
    lat FLOAT,
    timestamp TIMESTAMPTZ,
    aqi_value FLOAT,
    {pollutant}_aqi FLOAT,
    source TEXT,
    pollution_type TEXT,
    level INTEGER,
    sensor_id TEXT,
    received_at TIMESTAMPTZ,
    reported_aqi FLOAT,
    {quantity} FLOAT,
    flags TEXT,
    correction TEXT,
    {quantity}_raw FLOAT
) ON COMMIT DROP
