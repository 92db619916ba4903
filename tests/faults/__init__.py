"""Faults on purpose: what was acknowledged must be in the store, once, whatever happens.

`tests/faults/test_*.py` are the short forms; `scripts/soak` runs the same scenarios longer.
"""
