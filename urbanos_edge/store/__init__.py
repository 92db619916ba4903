"""Readings as GeoParquet files, and the list of what is real.

`manifest` is that list and `store` the files; `identity` makes one row of what has one identity,
`flush` moves readings out of the spool and `drain` keeps at it. `revisions`, `changed` and `owed`
mark the hours that changed; `remembered` is what sensors said last. `compact`, `restamp` and
`regrade` write files anew, `damage` reads past those that broke, by their `integrity`. `steps`
names the moments that a crash must not matter at.
"""
