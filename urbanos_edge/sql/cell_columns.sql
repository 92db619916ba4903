least(greatest(floor((lng + 180) / 360 * 262144), 0), 262143)::INTEGER AS x18,
CASE
    WHEN abs(lat) > 85.06 THEN IF(lat > 0, 0, 262143)
    ELSE least(greatest(floor(
        (1 - ln(tan(lat * pi() / 180) + 1 / cos(lat * pi() / 180)) / pi()) / 2 * 262144
    ), 0), 262143)
END::INTEGER AS y18
