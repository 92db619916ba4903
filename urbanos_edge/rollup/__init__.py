"""The last 24 hours in memory.

`rollup` holds the latest of each sensor and its aggregates, by `window` and `spots`; `recent`
holds the readings, in `segment`s.
"""
