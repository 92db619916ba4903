-- The source design's table, indexes and functions, mended only where PostgreSQL 15 refuses them:
-- the key of a partitioned table holds the partitioning column, `timestamp` is quoted where it
-- names a result column, and created_date is the UTC day of the reading. Partitions are made by
-- the loader; the indexes come after the rows, which builds them faster and better packed.
CREATE EXTENSION IF NOT EXISTS postgis;

CREATE TABLE pollution_data (
    id UUID NOT NULL DEFAULT gen_random_uuid(),
    grid_id VARCHAR(50) NOT NULL,
    location GEOMETRY(Point, 4326) NOT NULL,
    timestamp TIMESTAMPTZ NOT NULL DEFAULT NOW(),
    aqi_value FLOAT,
    pm25_aqi FLOAT,
    pm10_aqi FLOAT,
    o3_aqi FLOAT,
    no2_aqi FLOAT,
    so2_aqi FLOAT,
    co_aqi FLOAT,
    source VARCHAR(50),
    pollution_type VARCHAR(50),
    level INTEGER,
    created_date DATE NOT NULL DEFAULT CURRENT_DATE
) PARTITION BY RANGE (created_date);

CREATE FUNCTION get_pollution_in_bounds(
    min_lat FLOAT,
    max_lat FLOAT,
    min_lng FLOAT,
    max_lng FLOAT,
    max_results INTEGER DEFAULT 1000
)
RETURNS TABLE (
    id UUID,
    grid_id VARCHAR,
    lat FLOAT,
    lng FLOAT,
    aqi_value FLOAT,
    "timestamp" TIMESTAMPTZ
)
LANGUAGE SQL
STABLE
AS $$
    SELECT
        id,
        grid_id,
        ST_Y(location) as lat,
        ST_X(location) as lng,
        aqi_value,
        timestamp
    FROM pollution_data
    WHERE location && ST_MakeEnvelope(min_lng, min_lat, max_lng, max_lat, 4326)
        AND timestamp > NOW() - INTERVAL '24 hours'
    ORDER BY timestamp DESC
    LIMIT max_results;
$$;

CREATE FUNCTION get_pollution_clusters_in_bounds(
    min_lat FLOAT,
    max_lat FLOAT,
    min_lng FLOAT,
    max_lng FLOAT,
    grid_size FLOAT
)
RETURNS TABLE (
    lat FLOAT,
    lng FLOAT,
    count BIGINT,
    avg_aqi FLOAT,
    max_aqi FLOAT
)
LANGUAGE SQL
STABLE
AS $$
    SELECT
        FLOOR(ST_Y(location) / grid_size) * grid_size + grid_size/2 as lat,
        FLOOR(ST_X(location) / grid_size) * grid_size + grid_size/2 as lng,
        COUNT(*) as count,
        AVG(aqi_value) as avg_aqi,
        MAX(aqi_value) as max_aqi
    FROM pollution_data
    WHERE location && ST_MakeEnvelope(min_lng, min_lat, max_lng, max_lat, 4326)
        AND timestamp > NOW() - INTERVAL '24 hours'
    GROUP BY
        FLOOR(ST_Y(location) / grid_size),
        FLOOR(ST_X(location) / grid_size);
$$;
