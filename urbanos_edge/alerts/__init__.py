"""What is told when the air is bad or a sensor falls silent.

`rules` says what for, `runs` how long it has held, `standing` how each rule stands, `heard` who
was heard of; `alerts` is all of it. `events` are what is told, `outbox` what receivers have not
confirmed, `delivery` brings it to them.
"""
