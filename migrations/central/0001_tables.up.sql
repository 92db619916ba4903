-- The tables of the source design, and those of nodes and their aggregates. Mended where PostgreSQL
-- refuses the original: the key of a partitioned table holds what it is partitioned by, and
-- created_date is the UTC day of the reading.
CREATE EXTENSION IF NOT EXISTS postgis;

DO $$
DECLARE
    wanted TEXT;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['urbanos_node', 'urbanos_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
END;
$$;

CREATE FUNCTION latitude_of_row(z INTEGER, y FLOAT)
RETURNS FLOAT
LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
RETURN degrees(atan(sinh(pi() * (1 - 2 * y / (1 << z)))));

CREATE FUNCTION longitude_of_column(z INTEGER, x FLOAT)
RETURNS FLOAT
LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
RETURN x / (1 << z) * 360 - 180;

CREATE FUNCTION tile_center(z INTEGER, x INTEGER, y INTEGER)
RETURNS GEOMETRY
LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
RETURN ST_SetSRID(
    ST_MakePoint(
        longitude_of_column(z, x + 0.5::FLOAT), latitude_of_row(z, y + 0.5::FLOAT)
    ),
    4326
);

CREATE FUNCTION tile_bounds(z INTEGER, x INTEGER, y INTEGER)
RETURNS GEOMETRY
LANGUAGE SQL IMMUTABLE STRICT PARALLEL SAFE
RETURN ST_MakeEnvelope(
    longitude_of_column(z, x),
    latitude_of_row(z, y + 1),
    longitude_of_column(z, x + 1),
    latitude_of_row(z, y),
    4326
);

-- `epoch` names one life of one data directory: a second box with the same node_id, or one that was
-- restored, shows by it. `revision` is the highest that the centre took.
CREATE TABLE nodes (
    node_id TEXT PRIMARY KEY CHECK (node_id ~ '^[a-z0-9-]{1,40}$'),
    name TEXT NOT NULL DEFAULT '',
    role_name NAME NOT NULL UNIQUE,
    mode TEXT NOT NULL DEFAULT 'aggregates' CHECK (mode IN ('aggregates', 'readings')),
    epoch TEXT,
    epoch_before TEXT,
    schema_version INTEGER,
    program_version TEXT,
    revision BIGINT NOT NULL DEFAULT 0,
    clock_offset_s FLOAT,
    claimed_at TIMESTAMPTZ,
    last_seen_at TIMESTAMPTZ,
    last_synced_at TIMESTAMPTZ,
    added_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Who asks, if it is a node. Not a definer's function: row security of `nodes` answers it, too.
CREATE FUNCTION current_node()
RETURNS TEXT
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN (SELECT node_id FROM nodes WHERE role_name = current_user);

-- `node_id` is in the key because two nodes may hear one sensor: its readings have one id there.
CREATE TABLE pollution_data (
    id UUID NOT NULL DEFAULT gen_random_uuid(),
    grid_id VARCHAR(50) NOT NULL,
    location GEOMETRY(Point, 4326) NOT NULL,
    timestamp TIMESTAMPTZ NOT NULL DEFAULT NOW(),

    -- Pollution metrics
    aqi_value FLOAT,
    pm25_aqi FLOAT,
    pm10_aqi FLOAT,
    o3_aqi FLOAT,
    no2_aqi FLOAT,
    so2_aqi FLOAT,
    co_aqi FLOAT,

    -- Metadata
    source VARCHAR(50),
    pollution_type VARCHAR(50),
    level INTEGER,

    -- Partitioning key
    created_date DATE NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::DATE,

    -- What a node knows beyond the source design; units as in the node's docs/api.md
    node_id TEXT NOT NULL DEFAULT coalesce(current_node(), ''),
    sensor_id TEXT,
    received_at TIMESTAMPTZ,
    reported_aqi FLOAT,
    pm1 FLOAT,
    pm25 FLOAT,
    pm10 FLOAT,
    o3 FLOAT,
    no2 FLOAT,
    so2 FLOAT,
    co FLOAT,
    temperature FLOAT,
    humidity FLOAT,
    pressure FLOAT,
    flags TEXT NOT NULL DEFAULT '',
    correction TEXT,
    pm1_raw FLOAT,
    pm25_raw FLOAT,
    pm10_raw FLOAT,
    o3_raw FLOAT,
    no2_raw FLOAT,
    so2_raw FLOAT,
    co_raw FLOAT,
    temperature_raw FLOAT,
    humidity_raw FLOAT,
    pressure_raw FLOAT,

    PRIMARY KEY (id, created_date, node_id),
    CONSTRAINT created_date_is_the_utc_day_of_timestamp
        CHECK (created_date = (timestamp AT TIME ZONE 'UTC')::DATE)
) PARTITION BY RANGE (created_date);

CREATE INDEX idx_pollution_grid_time ON pollution_data (grid_id, timestamp DESC);
CREATE INDEX idx_pollution_location ON pollution_data USING GIST (location);
CREATE INDEX idx_pollution_timestamp ON pollution_data (timestamp DESC);
CREATE INDEX idx_pollution_node_time ON pollution_data (node_id, timestamp);
CREATE INDEX idx_pollution_sensor_time ON pollution_data (sensor_id, timestamp DESC);

CREATE TABLE pollution_data_default PARTITION OF pollution_data DEFAULT;

CREATE TABLE grid_metadata (
    grid_id VARCHAR(50) PRIMARY KEY,
    zoom_level INTEGER NOT NULL,
    bounds GEOMETRY(Polygon, 4326) NOT NULL,
    center GEOMETRY(Point, 4326) NOT NULL,

    -- Statistics (updated periodically)
    data_count INTEGER DEFAULT 0,
    avg_aqi FLOAT,
    max_aqi FLOAT,
    last_updated TIMESTAMPTZ,

    CONSTRAINT valid_zoom CHECK (zoom_level BETWEEN 10 AND 18)
);

CREATE INDEX idx_grid_bounds ON grid_metadata USING GIST (bounds);
CREATE INDEX idx_grid_zoom ON grid_metadata (zoom_level);

-- One row per node, bucket of time, cell of zoom 18 and quantity; `aqi` is a quantity. Exact, in
-- the quantity's unit: nodes count in 1/10,000 of it. A bucket that lost its readings stays with
-- count 0, because its revision must stay. Nodes send in the key's order: one quantity of an hour
-- lies together in the table. `x18 >> (18 - z)` is the column at a coarser zoom. Names compare byte by
-- byte: by the rules of a language each step down an index takes several times as long.
CREATE TABLE pollution_aggregates (
    node_id TEXT COLLATE "C" NOT NULL,
    bucket_start TIMESTAMPTZ NOT NULL,
    bucket_s INTEGER NOT NULL CHECK (bucket_s > 0),
    cell TEXT COLLATE "C" NOT NULL,
    quantity TEXT COLLATE "C" NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    sum NUMERIC(38, 4) NOT NULL,
    sum_sq NUMERIC(38, 8) NOT NULL,
    min NUMERIC(38, 4),
    max NUMERIC(38, 4),
    flagged INTEGER NOT NULL DEFAULT 0 CHECK (flagged >= 0),
    revision BIGINT NOT NULL,
    x18 INTEGER NOT NULL GENERATED ALWAYS AS (substr(split_part(cell, '-', 2), 2)::INTEGER) STORED,
    y18 INTEGER NOT NULL GENERATED ALWAYS AS (substr(split_part(cell, '-', 3), 2)::INTEGER) STORED,

    PRIMARY KEY (node_id, bucket_start, bucket_s, quantity, cell),
    CONSTRAINT extremes_where_counted CHECK (
        (count = 0) = (min IS NULL) AND (count = 0) = (max IS NULL)
    ),
    CONSTRAINT cell_of_zoom_18 CHECK (
        cell = 'z18-x' || x18::TEXT || '-y' || y18::TEXT
        AND x18 BETWEEN 0 AND 262143
        AND y18 BETWEEN 0 AND 262143
    )
) PARTITION BY RANGE (bucket_start);

CREATE INDEX idx_aggregates_aqi_location
ON pollution_aggregates USING GIST (tile_center(18, x18, y18)) WHERE quantity = 'aqi';

CREATE TABLE pollution_aggregates_default PARTITION OF pollution_aggregates DEFAULT;

-- How long each partitioned table is kept. What lies before `kept_since` was dropped for good:
-- nodes neither send nor compare it.
CREATE TABLE retention (
    table_name TEXT PRIMARY KEY,
    key_column TEXT NOT NULL,
    kept_days INTEGER NOT NULL CHECK (kept_days > 0),
    kept_since DATE NOT NULL DEFAULT '1970-01-01'
);

INSERT INTO retention (table_name, key_column, kept_days) VALUES
    ('pollution_data', 'created_date', 90),
    ('pollution_aggregates', 'bucket_start', 1825);
