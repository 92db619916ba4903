(
    SELECT
        NULL::VARCHAR AS correction,
        NULL::DOUBLE AS pm1_raw,
        NULL::DOUBLE AS pm25_raw,
        NULL::DOUBLE AS pm10_raw,
        NULL::DOUBLE AS o3_raw,
        NULL::DOUBLE AS no2_raw,
        NULL::DOUBLE AS so2_raw,
        NULL::DOUBLE AS co_raw,
        NULL::DOUBLE AS temperature_raw,
        NULL::DOUBLE AS humidity_raw,
        NULL::DOUBLE AS pressure_raw
    WHERE false
)
