-- Readings as lines of CSV below a line of names.
COPY (FROM {export_text}) TO {target} (FORMAT csv, HEADER true)
