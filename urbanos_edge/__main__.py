"""`python -m urbanos_edge` is the command `urbanos-edge`."""

from urbanos_edge.cli import main

main()
