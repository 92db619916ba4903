"""What a serving node does beside answering.

`rounds` is done every few seconds, `upkeep` every day, `vigil` looks for silence; `amends` and
`past` change what is stored, when an operator wants it.
"""
