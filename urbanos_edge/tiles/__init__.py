"""Vector tiles of readings: `clusters` sums what the API tells, `mvt` encodes, `tiles` draws both
layers, and `layers` has the other views, of one pollutant or of an hour that is over.
"""
