-- What is asked of the centre. A node counts once: by its readings if they are sent (`nodes.mode`),
-- else by its aggregates; of nobody's rows only readings count. `&&` compares boxes that are rounded to
-- single precision, hence the comparisons in degrees beside it. These are plpgsql and not SQL: the
-- moment is then a value when the plan is made, and only partitions of the last day are planned.

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
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since TIMESTAMPTZ := now() - INTERVAL '24 hours';
    since_day DATE := (since AT TIME ZONE 'UTC')::DATE;
    box GEOMETRY := ST_MakeEnvelope(min_lng, min_lat, max_lng, max_lat, 4326);
BEGIN
    RETURN QUERY
    SELECT d.id, d.grid_id, ST_Y(d.location), ST_X(d.location), d.aqi_value, d.timestamp
    FROM pollution_data AS d
    WHERE d.location && box
        AND ST_Y(d.location) BETWEEN min_lat AND max_lat
        AND ST_X(d.location) BETWEEN min_lng AND max_lng
        AND d.timestamp > since
        AND d.created_date >= since_day
    ORDER BY d.timestamp DESC
    LIMIT max_results;
END;
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
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since TIMESTAMPTZ := now() - INTERVAL '24 hours';
    since_day DATE := (since AT TIME ZONE 'UTC')::DATE;
    since_hour TIMESTAMPTZ := date_trunc('hour', now(), 'UTC') - INTERVAL '23 hours';
    box GEOMETRY := ST_MakeEnvelope(min_lng, min_lat, max_lng, max_lat, 4326);
    by_aggregates TEXT[] := ARRAY(SELECT n.node_id FROM nodes AS n WHERE n.mode = 'aggregates');
BEGIN
    RETURN QUERY
    WITH found AS MATERIALIZED (
        SELECT
            ST_Y(d.location) AS y,
            ST_X(d.location) AS x,
            1::BIGINT AS counted,
            (d.aqi_value IS NOT NULL)::INTEGER::BIGINT AS graded,
            d.aqi_value AS aqi_sum,
            d.aqi_value AS aqi_max
        FROM pollution_data AS d
        WHERE d.location && box
            AND d.timestamp > since
            AND d.created_date >= since_day
            AND d.flags = ''
            AND d.node_id <> ALL (by_aggregates)
        UNION ALL
        SELECT
            latitude_of_row(18, c.y18 + 0.5::FLOAT),
            longitude_of_column(18, c.x18 + 0.5::FLOAT),
            c.counted,
            c.counted,
            c.aqi_sum,
            c.aqi_max
        FROM (
            SELECT a.x18, a.y18, sum(a.count) AS counted, sum(a.sum) AS aqi_sum, max(a.max) AS aqi_max
            FROM pollution_aggregates AS a
            WHERE tile_center(18, a.x18, a.y18) && box
                AND a.quantity = 'aqi'
                AND a.bucket_start >= since_hour
                AND a.count > 0
                AND a.node_id = ANY (by_aggregates)
            GROUP BY a.x18, a.y18
        ) AS c
    ),
    placed AS (
        SELECT floor(f.y / grid_size) AS lat_step, floor(f.x / grid_size) AS lng_step, f.*
        FROM found AS f
        WHERE f.y BETWEEN min_lat AND max_lat AND f.x BETWEEN min_lng AND max_lng
    )
    SELECT
        p.lat_step * grid_size + grid_size / 2,
        p.lng_step * grid_size + grid_size / 2,
        sum(p.counted)::BIGINT,
        sum(p.aqi_sum) / nullif(sum(p.graded), 0),
        max(p.aqi_max)
    FROM placed AS p
    GROUP BY p.lat_step, p.lng_step;
END;
$$;

-- Statistics of the grids that have readings in the current hour or the 23 before, from aggregates;
-- a grid without any is removed. Returns how many rows changed. `last_updated` is when the numbers
-- last changed.
CREATE FUNCTION refresh_grid_metadata(lowest_zoom INTEGER DEFAULT 10, highest_zoom INTEGER DEFAULT 18)
RETURNS INTEGER
LANGUAGE plpgsql
SET search_path = public, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since_hour TIMESTAMPTZ := date_trunc('hour', now(), 'UTC') - INTERVAL '23 hours';
    changed INTEGER;
BEGIN
    WITH cells AS (
        SELECT a.x18, a.y18, sum(a.count) AS counted, sum(a.sum) AS aqi_sum, max(a.max) AS aqi_max
        FROM pollution_aggregates AS a
        WHERE a.quantity = 'aqi' AND a.bucket_start >= since_hour AND a.count > 0
        GROUP BY a.x18, a.y18
    ),
    tiles AS (
        SELECT
            z,
            c.x18 >> (18 - z) AS x,
            c.y18 >> (18 - z) AS y,
            sum(c.counted)::INTEGER AS counted,
            (sum(c.aqi_sum) / sum(c.counted))::FLOAT AS aqi_avg,
            max(c.aqi_max)::FLOAT AS aqi_max
        FROM cells AS c, generate_series(lowest_zoom, highest_zoom) AS z
        GROUP BY 1, 2, 3
    ),
    told AS (
        SELECT t.*, format('z%s-x%s-y%s', t.z, t.x, t.y) AS grid_id FROM tiles AS t
    ),
    removed AS (
        DELETE FROM grid_metadata AS g
        WHERE g.zoom_level BETWEEN lowest_zoom AND highest_zoom
            AND NOT EXISTS (SELECT FROM told AS t WHERE t.grid_id = g.grid_id)
        RETURNING 1
    ),
    written AS (
        INSERT INTO grid_metadata AS g
            (grid_id, zoom_level, bounds, center, data_count, avg_aqi, max_aqi, last_updated)
        SELECT
            t.grid_id, t.z, tile_bounds(t.z, t.x, t.y), tile_center(t.z, t.x, t.y),
            t.counted, t.aqi_avg, t.aqi_max, now()
        FROM told AS t
        LEFT JOIN grid_metadata AS known USING (grid_id)
        WHERE (known.data_count, known.avg_aqi, known.max_aqi)
            IS DISTINCT FROM (t.counted, t.aqi_avg, t.aqi_max)
        ON CONFLICT (grid_id) DO UPDATE SET
            data_count = excluded.data_count,
            avg_aqi = excluded.avg_aqi,
            max_aqi = excluded.max_aqi,
            last_updated = excluded.last_updated
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM removed) + (SELECT count(*) FROM written) INTO changed;
    RETURN changed;
END;
$$;

-- The truth over all nodes: what several of them measured in a cell, as if it were one.
CREATE VIEW merged_aggregates WITH (security_invoker = true) AS
SELECT
    bucket_start,
    bucket_s,
    cell,
    x18,
    y18,
    quantity,
    count(*) FILTER (WHERE count > 0) AS nodes,
    sum(count) AS count,
    sum(sum) AS sum,
    sum(sum_sq) AS sum_sq,
    min(min) AS min,
    max(max) AS max,
    sum(flagged) AS flagged,
    sum(sum) / nullif(sum(count), 0) AS mean
FROM pollution_aggregates
WHERE count > 0 OR flagged > 0
GROUP BY bucket_start, bucket_s, cell, x18, y18, quantity;
