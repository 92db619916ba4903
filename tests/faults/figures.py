"""What a scenario found, in numbers."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from tests.faults.ledger import Verdict
from tests.faults.load import Load
from tests.faults.victim import READY_WITHIN_S, SERVING_WITHIN_S, patience


@dataclass(slots=True)
class Figures:
    """The tally of one scenario; `assert_nothing_lost` is what every one of them promises."""

    name: str
    rounds: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    ready_s: list[float] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    """Figures that only this scenario has."""

    def judge(self, verdict: Verdict) -> None:
        """Count one comparison of store and promise."""
        self.rounds += 1
        self.lost += len(verdict.lost)
        self.doubled += len(verdict.doubled)
        self.wrong += len(verdict.wrong) + len(verdict.invented)
        if not verdict.is_clean:
            self.complaints.append(f"round {self.rounds}: {verdict}")

    def add_load(self, load: Load) -> None:
        """Take over what the senders saw, once they have ended."""
        self.acknowledged += len(load.ledger.promise().acknowledged)
        for answer, times in load.answers.items():
            self.answers[answer] = self.answers.get(answer, 0) + times
        self.complaints += load.complaints

    def assert_nothing_lost(self) -> None:
        assert not self.complaints, "\n".join(self.complaints[:5])
        assert self.rounds

    def assert_ready_in_time(self) -> None:
        assert max(self.ready_s) <= READY_WITHIN_S * patience(), f"ready after {self.ready_s} s"

    def assert_serving_again(self) -> None:
        assert self.more["serving_after_s"] <= SERVING_WITHIN_S * patience()

    def as_json(self) -> dict[str, Any]:
        """One flat object for a line of JSON; without load there was nothing to lose."""
        of_load = ("acknowledged", "lost", "doubled") if self.acknowledged else ()
        tally = {name: getattr(self, name) for name in ("name", "rounds", *of_load, "wrong")}
        if self.ready_s:
            tally |= {
                "ready_s_median": round(statistics.median(self.ready_s), 2),
                "ready_s_p95": round(sorted(self.ready_s)[int(len(self.ready_s) * 0.95)], 2),
                "ready_s_max": round(max(self.ready_s), 2),
                "load_per_core": round(patience(), 1),
            }
        return tally | self.more | {"answers": self.answers, "complaints": len(self.complaints)}
