-- Put the readings of `incoming_readings` in place of what the centre has of them.
INSERT INTO pollution_data AS t (
    id, grid_id, location, timestamp, aqi_value, pm25_aqi, pm10_aqi, o3_aqi, no2_aqi, so2_aqi,
    co_aqi, source, pollution_type, level, created_date, node_id, sensor_id, received_at,
    reported_aqi, pm1, pm25, pm10, o3, no2, so2, co, temperature, humidity, pressure, flags,
    correction, pm1_raw, pm25_raw, pm10_raw, o3_raw, no2_raw, so2_raw, co_raw, temperature_raw,
    humidity_raw, pressure_raw
)
SELECT
    id, grid_id, ST_SetSRID(ST_MakePoint(lng, lat), 4326), timestamp, aqi_value, pm25_aqi, pm10_aqi,
    o3_aqi, no2_aqi, so2_aqi, co_aqi, source, pollution_type, level,
    (timestamp AT TIME ZONE 'UTC')::DATE, %(node_id)s, sensor_id, received_at, reported_aqi, pm1,
    pm25, pm10, o3, no2, so2, co, temperature, humidity, pressure, flags, correction, pm1_raw,
    pm25_raw, pm10_raw, o3_raw, no2_raw, so2_raw, co_raw, temperature_raw, humidity_raw,
    pressure_raw
FROM incoming_readings
ON CONFLICT (id, created_date, node_id) DO UPDATE SET
    grid_id = excluded.grid_id,
    location = excluded.location,
    aqi_value = excluded.aqi_value,
    pm25_aqi = excluded.pm25_aqi,
    pm10_aqi = excluded.pm10_aqi,
    o3_aqi = excluded.o3_aqi,
    no2_aqi = excluded.no2_aqi,
    so2_aqi = excluded.so2_aqi,
    co_aqi = excluded.co_aqi,
    source = excluded.source,
    pollution_type = excluded.pollution_type,
    level = excluded.level,
    received_at = excluded.received_at,
    reported_aqi = excluded.reported_aqi,
    pm1 = excluded.pm1,
    pm25 = excluded.pm25,
    pm10 = excluded.pm10,
    o3 = excluded.o3,
    no2 = excluded.no2,
    so2 = excluded.so2,
    co = excluded.co,
    temperature = excluded.temperature,
    humidity = excluded.humidity,
    pressure = excluded.pressure,
    flags = excluded.flags,
    correction = excluded.correction,
    pm1_raw = excluded.pm1_raw,
    pm25_raw = excluded.pm25_raw,
    pm10_raw = excluded.pm10_raw,
    o3_raw = excluded.o3_raw,
    no2_raw = excluded.no2_raw,
    so2_raw = excluded.so2_raw,
    co_raw = excluded.co_raw,
    temperature_raw = excluded.temperature_raw,
    humidity_raw = excluded.humidity_raw,
    pressure_raw = excluded.pressure_raw
WHERE (
    t.grid_id, t.location, t.aqi_value, t.pm25_aqi, t.pm10_aqi, t.o3_aqi, t.no2_aqi, t.so2_aqi,
    t.co_aqi, t.source, t.pollution_type, t.level, t.reported_aqi, t.pm1, t.pm25, t.pm10, t.o3,
    t.no2, t.so2, t.co, t.temperature, t.humidity, t.pressure, t.flags, t.correction, t.pm1_raw,
    t.pm25_raw, t.pm10_raw, t.o3_raw, t.no2_raw, t.so2_raw, t.co_raw, t.temperature_raw,
    t.humidity_raw, t.pressure_raw
) IS DISTINCT FROM (
    excluded.grid_id, excluded.location, excluded.aqi_value, excluded.pm25_aqi, excluded.pm10_aqi,
    excluded.o3_aqi, excluded.no2_aqi, excluded.so2_aqi, excluded.co_aqi, excluded.source,
    excluded.pollution_type, excluded.level, excluded.reported_aqi, excluded.pm1, excluded.pm25,
    excluded.pm10, excluded.o3, excluded.no2, excluded.so2, excluded.co, excluded.temperature,
    excluded.humidity, excluded.pressure, excluded.flags, excluded.correction, excluded.pm1_raw,
    excluded.pm25_raw, excluded.pm10_raw, excluded.o3_raw, excluded.no2_raw, excluded.so2_raw,
    excluded.co_raw, excluded.temperature_raw, excluded.humidity_raw, excluded.pressure_raw
)
