(
    SELECT
        NULL::VARCHAR AS correction,
        NULL::SMALLINT AS {pollutant}_aqi,
        NULL::DOUBLE AS {quantity},
        NULL::DOUBLE AS {quantity}_raw
    WHERE false
)
