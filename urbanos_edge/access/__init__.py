"""Who may do what.

`proxies` knows whose address it is, `hosts` what the node is called, `visits` the browsers our
pages are open in, `refusals` who was turned away, `sessions` the logins, `crowd` the open
connections, `bodies` what comes in by them, both by `shares`. `door` asks all that is asked before
an answer, `access` says who somebody is, `guests` who it is at the centre.
"""
