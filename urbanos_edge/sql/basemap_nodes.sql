-- Every node in metres of the Web Mercator plane (EPSG:3857).
CREATE TABLE nodes AS
SELECT id, radians(lon) * 6378137 AS x, asinh(tan(radians(lat))) * 6378137 AS y
FROM ST_ReadOSM($path)
WHERE kind = 'node' AND abs(lat) <= 85
