"""From candidates to readings that wait on the disk.

`sensors` and `sources` know who is registered and who is believed, `passwords` which of theirs
are right, `reception` who sends a message. `ingest` checks it, `group` and `receipt` make a commit
of what comes together, `spool` and `dead_letters` hold it, `requeue` sends letters again. `inbox`
keeps what unknown senders said, `registry` is what an operator does with sensors, `reports` what
people smell and see.
"""
