-- One row for each value that is believed, under the names of OpenAQ's archive (docs.openaq.org, 'About
-- Open Data on AWS', 2025). There a location has a sensor for each parameter; here it is one device.
(
    SELECT
        sensor_id AS location_id,
        sensor_id || '/' || said.parameter AS sensors_id,
        sensor_id AS location,
        rfc3339(timestamp) AS datetime,
        lat,
        lng AS lon,
        said.parameter AS parameter,
        said.units AS units,
        said.value AS value
    FROM (
        SELECT *, unnest([
            {'parameter': replace('{quantity}', 'humidity', 'relativehumidity'), 'units': lower(replace('{unit}', '°', '')), 'value': {quantity}}
        ]) AS said
        FROM {export_rows}
        WHERE flags = ''
    )
    WHERE said.value IS NOT NULL
)
