"""What all have to share: so much in all, and of that a fourth for one network."""

from __future__ import annotations

from collections import Counter
from typing import Final

SHARE: Final = 4
"""Nobody keeps all others out by holding what is not used."""


class Shares:
    """How much is taken, by whom; used from the event loop only."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._most_of_one = max(1, most // SHARE)
        self._by_network: Counter[str] = Counter()
        self.taken = 0

    def take(self, whose: str, amount: int, *, is_many: bool = False) -> bool:
        """Whether so much more may be taken, which it is then; many together have no share."""
        of_one = self._by_network[whose] + amount
        if self.taken + amount > self.most or not (is_many or of_one <= self._most_of_one):
            return False
        self.taken += amount
        self._by_network[whose] = of_one
        return True

    def give_back(self, whose: str, amount: int) -> None:
        self.taken -= amount
        self._by_network[whose] -= amount
        if not self._by_network[whose]:
            del self._by_network[whose]
