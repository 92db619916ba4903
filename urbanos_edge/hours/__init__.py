"""Hourly aggregates per sensor and cell, exact whatever arrives late.

`hours` counts and keeps them, `buckets` merges them over sensors, `aggregates` hands these out.
"""
