-- Readings as objects, one a line.
COPY (FROM {rows}) TO {target} (FORMAT json)
