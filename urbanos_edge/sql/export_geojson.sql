-- Readings as features of one collection. DuckDB's own array of JSON objects is made in this way, too:
-- lines of CSV without quotes, here with the collection around them.
COPY (
    SELECT to_json({
        'type': 'Feature',
        'geometry': {'type': 'Point', 'coordinates': [reading.lng, reading.lat]},
        'properties': reading
    })
    FROM {rows} AS reading
) TO {target} (
    FORMAT csv,
    HEADER false,
    QUOTE '',
    ESCAPE '',
    DELIMITER E'\n',
    PREFIX E'{"type":"FeatureCollection","features":[\n',
    NEW_LINE E',\n',
    SUFFIX E'\n]}\n'
)
