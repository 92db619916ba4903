"""Benchmarks of a node beside its peers; `scripts/bench --help` lists them."""
