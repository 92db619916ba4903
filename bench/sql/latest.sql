-- The latest reading of each sensor as a table of its own, in the tiles' own projection and
-- indexed: the best that a tile server over PostGIS can find.
CREATE SCHEMA live;
CREATE TABLE live.latest (
    id TEXT PRIMARY KEY,
    name TEXT,
    aqi INTEGER,
    level INTEGER,
    at BIGINT,
    flags TEXT,
    source TEXT,
    geom GEOMETRY(Point, 3857)
);
