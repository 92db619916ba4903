"""What is owed to the centre is brought there, until both have the same.

`central` is the centre's schema, `link` what is said to it; `carrier` compares and sends hours and
`originals` their readings, `backlog` says in which order, `pace` how fast. `compare` only compares,
`standing` is how far it has come, `sync` says when.
"""
