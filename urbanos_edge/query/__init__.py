"""What is answered from the store and from memory.

`rows`, `query` and `flagged` are lists of readings; `resolution`, `history` and `averaging`
series; `colocation`, `shown` and `explanation` say why a number is what it is; `pipe` and
`export` hand out all there is. `atlas` is what a node and a centre answer alike.
"""
