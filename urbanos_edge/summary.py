"""How the node is, in sentences for who never saw one: what is well, what is not, what to do.

Made of the status and of nothing else, so that page, command and bundle say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

DAY_S: Final = 86_400
PROVEN_WITHIN_DAYS: Final = 2
"""As the alert `BackupNotProven` has it."""
FULL_WITHIN_DAYS: Final = 14
"""As the alert `DiskFillsUp` has it."""
UNHEARD_WITHIN_S: Final = 900
"""How long the centre may be away before it is worth a word, as `SyncFailing` has it."""
Status = Mapping[str, Any]
Level = Literal["well", "look", "act"]
_LEVELS: Final[tuple[Level, ...]] = ("well", "look", "act")
_HEADLINES: Final[dict[Level, str]] = {
    "well": "All is well.",
    "look": "The node works; something needs a look.",
    "act": "The node needs help now.",
}


class Sentence(msgspec.Struct, frozen=True):
    """One thing about the node."""

    level: Level
    """`well`; `look`: within days; `act`: now."""
    text: str


class Summary(msgspec.Struct, frozen=True):
    """The worst of all sentences, a headline for it, and the sentences, the worst first."""

    level: Level
    headline: str
    sentences: list[Sentence]


def summary(status: Status) -> Summary:
    """What there is to say of a node's status (`health.status`)."""
    sentences = [one for part in _PARTS for one in part(status)]
    sentences.sort(key=lambda one: -_LEVELS.index(one.level))
    worst = sentences[0].level
    return Summary(worst, _HEADLINES[worst], sentences)


def _readiness(status: Status) -> Iterator[Sentence]:
    for fault in status["faults"]:
        yield Sentence("act", f"It cannot do all of its work: {fault}.")
    uptime = status["uptime"]
    since = _day(uptime["since"])
    ready, promised = _percent(uptime["availability"]), _percent(uptime["promised"])
    said = f"It was ready for {ready} of the time since {since}; {promised} of 30 days are promised"
    left_s = uptime["budget_left_s"]
    if left_s < 0:
        yield Sentence("look", f"{said}, and that is broken by {_span(-left_s)}.")
    else:
        yield Sentence("well", f"{said}, and {_span(left_s)} of being down are left.")


def _sensors(status: Status) -> Iterator[Sentence]:
    total, reporting = status["sensors"]["total"], status["sensors"]["reporting"]
    if total == 0:
        yield Sentence("look", "No sensor is registered yet.")
    elif reporting == 0:
        yield Sentence("act", f"None of {total:,} sensors has sent anything in the last 24 hours.")
    else:
        level: Level = "look" if reporting < total / 2 else "well"
        said = f"{reporting:,} of {total:,} sensors sent something in the last 24 hours."
        yield Sentence(level, said)
    senders = status["inbox"]["senders"]
    if senders:
        waiting = _many(senders, "unknown sender waits", "unknown senders wait")
        yield Sentence("look", f"{waiting} in the inbox to be claimed or ignored.")


def _disk(status: Status) -> Iterator[Sentence]:
    disk = status["disk"]
    free = f"{disk['free_bytes'] / 1e9:,.1f} GB of the disk are free"
    if disk["is_low"]:
        yield Sentence("act", f"{free}: readings are refused until there is room.")
    elif disk["full_in_days"] is not None and disk["full_in_days"] < FULL_WITHIN_DAYS:
        days = f"{disk['full_in_days']:.0f} days"
        yield Sentence("look", f"{free}; at this rate it is full in {days}.")
    else:
        yield Sentence("well", f"{free}.")
    if status["quarantined"]:
        files = _many(status["quarantined"], "damaged file was", "damaged files were")
        yield Sentence("look", f"{files} set aside: run 'urbanos-edge check --repair'.")


def _backup(status: Status) -> Iterator[Sentence]:
    backup, now = status["backup"], status["now"]
    proven = backup["last_proven_at"]
    if backup["failure"] is not None:
        yield Sentence("look", f"The last backup failed: {backup['failure']}.")
    if proven is None:
        yield Sentence("look", "No backup was ever proven by restoring it: set 'backup_target'.")
    elif _seconds(proven, now) > PROVEN_WITHIN_DAYS * DAY_S:
        yield Sentence("look", f"The last proven backup is of {_day(proven)}: look at its target.")
    else:
        yield Sentence("well", f"The last backup was restored and compared on {_day(proven)}.")


def _clock(status: Status) -> Iterator[Sentence]:
    since = status["clock_in_doubt_since"]
    if since is not None:
        asked = "does the box reach a time server?"
        yield Sentence("look", f"The clock may be wrong since {_day(since)}: {asked}")


def _others(status: Status) -> Iterator[Sentence]:
    """The broker, the sources, the centre, who is alerted, HTTPS: only where they fail."""
    failing = {
        "The MQTT broker": status["mqtt"]["failure"],
        "HTTPS": status["tls"]["failure"],
        "Merging small files": status["compaction"]["failure"],
    }
    for subject, failure in failing.items():
        if failure:
            yield Sentence("look", f"{subject} fails: {failure}.")
    sync = status["sync"]
    since = sync.get("failing_since")
    if since is not None and _seconds(since, status["now"]) > UNHEARD_WITHIN_S:
        moment = f"{since[:10]} {since[11:16]} UTC"
        yield Sentence("look", f"The centre is not reached since {moment}; nothing is lost.")
    if status["pulls"]["failing"]:
        sources = _many(status["pulls"]["failing"], "source", "sources")
        yield Sentence("look", f"{sources} cannot be fetched: see 'urbanos-edge pull list'.")
    if status["alerts"]["receivers_failing"]:
        receivers = _many(status["alerts"]["receivers_failing"], "receiver", "receivers")
        yield Sentence("look", f"{receivers} of alerts cannot be reached.")
    waiting = status["reports"]["pending"]
    if waiting:
        reports = _many(waiting, "report of a user waits", "reports of users wait")
        yield Sentence("look", f"{reports} to be approved or rejected.")


_PARTS: Final[tuple[Callable[[Status], Iterator[Sentence]], ...]] = (
    _readiness,
    _sensors,
    _disk,
    _backup,
    _clock,
    _others,
)


def _many(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def _percent(share: float) -> str:
    """Rounded down: 99.949 % are not 99.95 %."""
    return f"{round(share * 1e6) // 100 / 100:.2f} %"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def _seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _day(moment: str) -> str:
    return moment[:10]
