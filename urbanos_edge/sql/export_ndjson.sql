-- Readings as objects, one a line.
COPY (FROM {export_text}) TO {target} (FORMAT json)
