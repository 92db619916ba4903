-- Readings as lines of CSV below a line of names.
COPY (FROM {rows}) TO {target} (FORMAT csv, HEADER true)
