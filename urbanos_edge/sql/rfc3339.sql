-- A moment as `clock.to_rfc3339` writes it: with six decimals or with none.
CREATE TEMP MACRO rfc3339(moment) AS
    CASE
        WHEN epoch_us(moment) % 1000000 = 0 THEN strftime(moment, '%Y-%m-%dT%H:%M:%SZ')
        ELSE strftime(moment, '%Y-%m-%dT%H:%M:%S.%fZ')
    END
