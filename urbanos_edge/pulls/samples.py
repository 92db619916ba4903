"""What a monitor shows is of that moment: its minute is the mean of what it showed."""

from __future__ import annotations

from typing import Final

import msgspec

from urbanos_edge.adapters import Candidate, parts

PERIOD_S: Final = 60.0


class Samples:
    """The samples of one monitor since its minute began; times are of a clock that never jumps."""

    def __init__(self) -> None:
        self._taken: list[Candidate] = []
        self._began_s = 0.0
        self._last_s = 0.0
        self.averaged = 0
        """Samples in the last mean."""

    def add(self, sample: Candidate, now_s: float) -> Candidate | None:
        """Take a sample, and return the mean of the minute that it comes after, if it does.

        What a minute or longer had no successor is dropped: its mean would be of no time at all.
        """
        if self._taken and now_s - self._last_s >= PERIOD_S:
            self._taken.clear()
        over = self.close() if self._taken and now_s - self._began_s >= PERIOD_S else None
        if not self._taken:
            self._began_s = now_s
        self._taken.append(sample)
        self._last_s = now_s
        return over

    def close(self) -> Candidate | None:
        """End the minute before its time; None when nothing was taken in it."""
        if not self._taken:
            return None
        taken, self._taken = self._taken, []
        self.averaged = len(taken)
        return mean(taken)


def mean(samples: list[Candidate]) -> Candidate:
    """One candidate of many: the mean of each value, over the samples that have a possible one.

    The channels disagree where they do in more than half of the samples.
    """
    names = dict.fromkeys(name for sample in samples for name in sample.values)
    values: dict[str, float | None] = {}
    for name in names:
        given = [v for sample in samples if (v := sample.values.get(name)) is not None]
        values[name] = parts.mean(name, given)
    disagreeing = sum(sample.channels_disagree for sample in samples)
    return msgspec.structs.replace(
        samples[-1], values=values, channels_disagree=2 * disagreeing > len(samples)
    )
