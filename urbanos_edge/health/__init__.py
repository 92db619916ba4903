"""How the node is: `health` in numbers, `summary` in sentences, `metrics` for Prometheus."""
