"""A new version, and the way back.

`signature` says who vouches for a release, `slots` are the two places for the program, `staging`
fills one. `keeper` holds the ports, `service` knows who runs the node. `comparison` and
`rehearsal` try a version on copies of the data, `lookout` watches it serve, `cutover` changes
over and back.
"""
