"""Vector tiles of readings: `clusters` sums, `tiles` draws, `layers` adds rows, `mvt` encodes."""
