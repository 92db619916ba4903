-- Where the buckets of one transaction are copied to, in the units of the centre.
CREATE TEMPORARY TABLE incoming (
    bucket_start TIMESTAMPTZ,
    bucket_s INTEGER,
    cell TEXT,
    quantity TEXT,
    count INTEGER,
    sum NUMERIC,
    sum_sq NUMERIC,
    min NUMERIC,
    max NUMERIC,
    flagged INTEGER,
    revision BIGINT
) ON COMMIT DROP
