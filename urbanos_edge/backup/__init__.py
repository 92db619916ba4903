"""The data directory whole again: `check` finds and mends what is wrong with it, `backup` makes
a copy at one of `targets`, `restore` brings it back.
"""
