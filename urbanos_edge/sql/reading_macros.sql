-- How a number goes into a digest, to so many decimals; and how things go into a line of COPY, which
-- has no place for a NUL.
CREATE OR REPLACE TEMP MACRO decimals(v, one) AS
    coalesce((CASE WHEN abs(v) < 9e14 THEN floor(v * one + 0.5)::BIGINT END)::VARCHAR, '-');
CREATE OR REPLACE TEMP MACRO whole(v) AS coalesce(v::BIGINT::VARCHAR, '-');
CREATE OR REPLACE TEMP MACRO given(v) AS coalesce(v::VARCHAR, '\N');
CREATE OR REPLACE TEMP MACRO copied_moment(v) AS strftime(v, '%Y-%m-%d %H:%M:%S.%f+00');
CREATE OR REPLACE TEMP MACRO copied(v) AS
    replace(replace(replace(replace(replace(
        v, '\', '\\'), chr(9), '\t'), chr(10), '\n'), chr(13), '\r'), chr(0), chr(65533));
