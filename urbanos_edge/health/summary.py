"""How the node is, in sentences for who never saw one: what is well, what is not, what to do.

Made of the status and of why the node is not ready, so that page, command and bundle say the same.
A sentence is in English; its code and details are what the page says it from in other languages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from urbanos_edge.uptime import Fault

DAY_S: Final = 86_400
PROVEN_WITHIN_DAYS: Final = 2
"""As the alert `BackupNotProven` has it."""
FULL_WITHIN_DAYS: Final = 14
"""As the alert `DiskFillsUp` has it."""
UNHEARD_WITHIN_S: Final = 900
"""How long the centre may be away before it is worth a word, as `SyncFailing` has it."""
Status = Mapping[str, Any]
Details = dict[str, str | float]
Level = Literal["well", "look", "act"]
Code = Literal[
    "flush_failed",
    "disk_low",
    "spool_full",
    "uptime_kept",
    "uptime_broken",
    "sensors_none",
    "sensors_silent",
    "sensors_reporting",
    "senders_waiting",
    "disk_refusing",
    "disk_filling",
    "disk_free",
    "files_damaged",
    "backup_failed",
    "backup_unproven",
    "backup_old",
    "backup_proven",
    "clock_in_doubt",
    "broker_failing",
    "https_failing",
    "merging_failing",
    "centre_unreached",
    "sources_failing",
    "receivers_failing",
    "reports_waiting",
]
_LEVELS: Final[tuple[Level, ...]] = ("well", "look", "act")
_HEADLINES: Final[dict[Level, str]] = {
    "well": "All is well.",
    "look": "The node works; something needs a look.",
    "act": "The node needs help now.",
}


class Sentence(msgspec.Struct, frozen=True):
    """One thing about the node.

    `details` are what `text` is filled with, as they were measured: `at` a moment, `share` and
    `promised` of 1, `bytes`, `days`, `seconds`, `why` the words of a library or the system; all
    others count.
    """

    level: Level
    """`well`; `look`: within days; `act`: now."""
    code: Code
    text: str
    details: Details


class Summary(msgspec.Struct, frozen=True):
    """The worst of all sentences, a headline for it, and the sentences, the worst first."""

    level: Level
    headline: str
    sentences: list[Sentence]


def summary(status: Status, faults: Sequence[Fault] = ()) -> Summary:
    """What there is to say of a node's status (`health.status`) and its faults."""
    sentences = [*_not_ready(faults), *(one for part in _PARTS for one in part(status))]
    sentences.sort(key=lambda one: -_LEVELS.index(one.level))
    worst = sentences[0].level
    return Summary(worst, _HEADLINES[worst], sentences)


def _not_ready(faults: Sequence[Fault]) -> Iterator[Sentence]:
    for fault in faults:
        details: Details = {"why": fault.why} if fault.why else {}
        said = f"It cannot do all of its work: {fault.text}."
        yield Sentence("act", fault.code, said, details)


def _readiness(status: Status) -> Iterator[Sentence]:
    uptime = status["uptime"]
    since = _day(uptime["since"])
    ready, promised = _percent(uptime["availability"]), _percent(uptime["promised"])
    said = f"It was ready for {ready} of the time since {since}; {promised} of 30 days are promised"
    left_s = uptime["budget_left_s"]
    details: Details = {
        "share": uptime["availability"],
        "at": uptime["since"],
        "promised": uptime["promised"],
        "seconds": abs(left_s),
    }
    if left_s < 0:
        said += f", and that is broken by {_span(-left_s)}."
        yield Sentence("look", "uptime_broken", said, details)
    else:
        said += f", and {_span(left_s)} of being down are left."
        yield Sentence("well", "uptime_kept", said, details)


def _sensors(status: Status) -> Iterator[Sentence]:
    total, reporting = status["sensors"]["total"], status["sensors"]["reporting"]
    details: Details = {"total": total, "reporting": reporting}
    if total == 0:
        yield Sentence("look", "sensors_none", "No sensor is registered yet.", {})
    elif reporting == 0:
        said = f"None of {total:,} sensors has sent anything in the last 24 hours."
        yield Sentence("act", "sensors_silent", said, details)
    else:
        level: Level = "look" if reporting < total / 2 else "well"
        said = f"{reporting:,} of {total:,} sensors sent something in the last 24 hours."
        yield Sentence(level, "sensors_reporting", said, details)
    senders = status["inbox"]["senders"]
    if senders:
        waiting = _many(senders, "unknown sender waits", "unknown senders wait")
        said = f"{waiting} in the inbox to be claimed or ignored."
        yield Sentence("look", "senders_waiting", said, {"count": senders})


def _disk(status: Status) -> Iterator[Sentence]:
    disk = status["disk"]
    free = f"{disk['free_bytes'] / 1e9:,.1f} GB of the disk are free"
    details: Details = {"bytes": disk["free_bytes"]}
    if disk["is_low"]:
        said = f"{free}: readings are refused until there is room."
        yield Sentence("act", "disk_refusing", said, details)
    elif disk["full_in_days"] is not None and disk["full_in_days"] < FULL_WITHIN_DAYS:
        said = f"{free}; at this rate it is full in {disk['full_in_days']:.0f} days."
        yield Sentence("look", "disk_filling", said, details | {"days": disk["full_in_days"]})
    else:
        yield Sentence("well", "disk_free", f"{free}.", details)
    if status["quarantined"]:
        files = _many(status["quarantined"], "damaged file was", "damaged files were")
        said = f"{files} set aside: run 'urbanos-edge check --repair'."
        yield Sentence("look", "files_damaged", said, {"count": status["quarantined"]})


def _backup(status: Status) -> Iterator[Sentence]:
    backup, now = status["backup"], status["now"]
    proven, failure = backup["last_proven_at"], backup["failure"]
    if failure is not None:
        yield _failing("backup_failed", "The last backup failed", failure)
    if proven is None:
        todo = "the next one will be" if backup["has_target"] else "set 'backup_target'"
        said = f"No backup was ever proven by restoring it: {todo}."
        yield Sentence("look", "backup_unproven", said, {})
    elif _seconds(proven, now) > PROVEN_WITHIN_DAYS * DAY_S:
        said = f"The last proven backup is of {_day(proven)}: look at its target."
        yield Sentence("look", "backup_old", said, {"at": proven})
    else:
        said = f"The last backup was restored and compared on {_day(proven)}."
        yield Sentence("well", "backup_proven", said, {"at": proven})


def _clock(status: Status) -> Iterator[Sentence]:
    since = status["clock_in_doubt_since"]
    if since is not None:
        asked = "does the box reach a time server?"
        said = f"The clock may be wrong since {_day(since)}: {asked}"
        yield Sentence("look", "clock_in_doubt", said, {"at": since})


def _others(status: Status) -> Iterator[Sentence]:
    """The broker, the sources, the centre, who is alerted, HTTPS: only where they fail."""
    if failure := status["mqtt"]["failure"]:
        yield _failing("broker_failing", "The MQTT broker fails", failure)
    if failure := status["tls"]["failure"]:
        yield _failing("https_failing", "HTTPS fails", failure)
    if failure := status["compaction"]["failure"]:
        yield _failing("merging_failing", "Merging small files fails", failure)
    sync = status["sync"]
    since = sync.get("failing_since")
    if since is not None and _seconds(since, status["now"]) > UNHEARD_WITHIN_S:
        said = f"The centre is not reached since {since[:10]} {since[11:16]} UTC; nothing is lost."
        yield Sentence("look", "centre_unreached", said, {"at": since})
    if failing := status["pulls"]["failing"]:
        sources = _many(failing, "source", "sources")
        said = f"{sources} cannot be fetched: see 'urbanos-edge pull list'."
        yield Sentence("look", "sources_failing", said, {"count": failing})
    if failing := status["alerts"]["receivers_failing"]:
        said = f"{_many(failing, 'receiver', 'receivers')} of alerts cannot be reached."
        yield Sentence("look", "receivers_failing", said, {"count": failing})
    if waiting := status["reports"]["pending"]:
        reports = _many(waiting, "report of a user waits", "reports of users wait")
        said = f"{reports} to be approved or rejected."
        yield Sentence("look", "reports_waiting", said, {"count": waiting})


def _failing(code: Code, subject: str, why: str) -> Sentence:
    return Sentence("look", code, f"{subject}: {why}.", {"why": why})


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
