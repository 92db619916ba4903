"""`central serve`: what a node answers about itself, answered about many from the centre.

`servers` reads from the primary and its replicas, `atlas` asks them, `news` hears of changes,
`metrics` has it all in numbers, and `serving` is the server around it. Nothing is kept but caches:
any number of processes do the same.
"""
