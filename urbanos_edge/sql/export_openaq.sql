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
            {'parameter': 'pm1', 'units': 'µg/m³', 'value': pm1},
            {'parameter': 'pm25', 'units': 'µg/m³', 'value': pm25},
            {'parameter': 'pm10', 'units': 'µg/m³', 'value': pm10},
            {'parameter': 'o3', 'units': 'ppb', 'value': o3},
            {'parameter': 'no2', 'units': 'ppb', 'value': no2},
            {'parameter': 'so2', 'units': 'ppb', 'value': so2},
            {'parameter': 'co', 'units': 'ppm', 'value': co},
            {'parameter': 'temperature', 'units': 'c', 'value': temperature},
            {'parameter': 'relativehumidity', 'units': '%', 'value': humidity},
            {'parameter': 'pressure', 'units': 'hpa', 'value': pressure}
        ]) AS said
        FROM {export_rows}
        WHERE flags = ''
    )
    WHERE said.value IS NOT NULL
)
