"""Who is nearby, and hears of the node, by mDNS.

`networks` says where, `announcement` what is told of the node, `search` what is looked for,
`nearby` what was found; `discovery` does it.
"""
