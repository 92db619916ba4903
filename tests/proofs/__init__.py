"""The node on bare Debians: what `scripts/prove` runs."""
