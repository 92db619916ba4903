"""Whose rights root uses in a directory that belongs to somebody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def acting_as(owner: os.stat_result) -> Iterator[None]:
    """Let root do what the block does with no more rights than the owner of a directory has.

    Who owns it may lay links there, and change them between a look and an act. Nothing is gained by
    that where whoever follows them may do only what the owner may. For anybody but root it is as
    it was. It holds for all threads.
    """
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    try:
        os.setgroups(())
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
